//! limiterctl: the command line, and the daemon that `limiterctl attach` runs.
//!
//! # Layout
//!
//! - [`cli`] is a file a verb: raw arguments in, checked ones out, an exit code back
//! - [`daemon`] runs while limits are attached; [`status`] tells what they did, and needs no daemon
//! - [`control`] is the daemon's socket, both ends of it, on [`http`]
//! - [`events`] is what happens, for who follows it
//! - [`open`] tells who holds how many connections; [`sockets`] is the kernel's list of them
//! - [`why`] says why a destination is refused, [`hosts`] lists those that are known, [`rules`] all rules
//! - [`unblock`] gives who is refused a fresh start
//! - [`top`] shows all of it live
//! - [`flood`] tells whether strangers are over what they share
//! - [`metrics`] is the same for Prometheus, over HTTP
//! - [`policy`] turns what was asked for into map entries, without touching a map
//! - [`config`] reads rates, ports, prefixes and durations as people write them, and the file that holds them all
//! - [`dns`] resolves the names that rules list
//! - [`translate`] turns rules of iptables and nft into words for [`cli`]
//! - [`bpf`] loads, attaches, pins and reads; [`interface`], [`cgroup`], [`namespace`], [`host`] and [`clock`] ask the kernel
//! - [`ssh`] tells where the person who types comes from
//! - [`state`] is what one process leaves for the next under `/run/limiterctl`
//! - [`failure`] is an error with its cure; [`table`] is how tables look

pub mod bpf;
pub mod cgroup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dns;
pub mod events;
pub mod failure;
pub mod flood;
pub mod host;
pub mod hosts;
pub mod http;
pub mod interface;
pub mod metrics;
pub mod namespace;
pub mod open;
pub mod policy;
pub mod rules;
pub mod sockets;
pub mod ssh;
pub mod state;
pub mod status;
pub mod table;
pub mod top;
pub mod translate;
pub mod unblock;
pub mod why;
