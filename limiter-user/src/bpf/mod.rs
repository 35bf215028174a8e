//! The kernel half, from user space: load it, attach it, pin it, read it.

mod attach;
pub mod batch;
mod buckets;
pub mod cgroup;
mod follow;
mod link;
pub mod lists;
mod load;
pub mod open;
pub mod outbound;
mod pins;
pub mod probe;
mod quiet;
pub mod reports;
mod reset;
mod runs;
mod sources;
mod tables;
mod words;

pub use attach::{Attached, Mode, XdpMode, attach, other_program, vanishes};
pub use buckets::{Buckets, HostBuckets};
pub use link::Link;
pub use load::{INBOUND, OBJECT, Programs, load, name_hash, pattern_key};
pub use open::OpenTables;
pub use outbound::HostTables;
pub use pins::{Pins, cgroup_link, interface_link};
pub use reset::reset_numbers;
pub use runs::{Runs, runs};
pub use sources::SourceTable;
pub use tables::{RuleTotals, SkipTotals, Tables};
pub use words::Words;
