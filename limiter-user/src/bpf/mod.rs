//! The kernel half, from user space: load it, attach it, pin it, read it.

mod attach;
pub mod lists;
mod load;
pub mod open;
pub mod outbound;
mod pins;
mod sources;
mod tables;
mod words;

pub use attach::{Attached, Mode, XdpMode, attach, other_program};
pub use load::{OBJECT, Programs, name_hash, pattern_key};
pub use open::OpenTables;
pub use outbound::HostTables;
pub use pins::Pins;
pub use sources::SourceTable;
pub use tables::{RuleTotals, SkipTotals, Tables};
pub use words::Words;
