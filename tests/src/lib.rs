//! Test fixtures: hosts, the wires between them, and the packets on these.
//!
//! All of them panic with the reason when they cannot do what they were asked: a test has nothing better to do.
//! They need root, iproute2 (`ip`, `tc`) and a kernel with veth; they leave nothing behind, however a test ends.
//!
//! # Layout
//!
//! - [`net`]: hosts (network namespaces), links between them, a private `/run` and bpffs for a daemon
//! - [`cgroup`]: cgroups, and processes in them
//! - [`client`]: a process that resolves names and connects as it is told
//! - [`dns`]: a DNS server, honest or not
//! - [`wire`]: frames sent at a rate, counted and captured on a host's interface
//! - [`teach`], [`corpus`]: the program that learns from DNS answers, what it should learn, and answers for it
//! - [`mod@bpf`]: programs of a few instructions, loaded and run; [`stream`]: SYNs made by such a program
//! - [`schema`]: what verbs print for programs, as docs/schemas says
//! - [`packet`]: frames built byte by byte, malformed ones too, and a view of the frames that come back

pub mod bpf;
pub mod cgroup;
pub mod client;
pub mod control;
#[path = "../../limiter-common/tests/corpus/mod.rs"]
pub mod corpus;
pub mod daemon;
pub mod dns;
pub mod net;
pub mod packet;
pub mod program;
mod programs;
pub mod schema;
pub mod stream;
mod sys;
pub mod teach;
pub mod wire;
