//! limiterctl: the command line, and the daemon that `limiterctl attach` runs.
//!
//! # Layout
//!
//! - [`cli`] is a file a verb: raw arguments in, checked ones out, an exit code back
//! - [`daemon`] runs while limits are attached; [`status`] tells what they did, and needs no daemon
//! - [`policy`] turns what was asked for into map entries, without touching a map
//! - [`config`] reads rates, ports, prefixes and durations as people write them
//! - [`bpf`] loads, attaches, pins and reads; [`interface`] and [`host`] ask the kernel what is there
//! - [`state`] is what one process leaves for the next under `/run/limiterctl`
//! - [`failure`] is an error with its cure

pub mod bpf;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod failure;
pub mod host;
pub mod interface;
pub mod policy;
pub mod state;
pub mod status;
