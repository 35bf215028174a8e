//! What is read, as the model takes it.

use super::rows::Row;
use crate::status::Status;

/// What was there at a moment.
pub struct Sample {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub now: u64,
    /// Counters, without what takes a walk through a table.
    pub status: Status,
    /// What was found in the tables, where they were gone through.
    pub lists: Option<Lists>,
}

/// What was found in the tables.
#[derive(Debug, Default)]
pub struct Lists {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// Sources that hold connections open.
    pub sources: Vec<Row>,
    /// Names that the limited processes have resolved.
    pub hosts: Vec<Row>,
    /// Who of these is in back-off.
    pub backoff: Vec<Row>,
    /// Other sources that are.
    pub other_sources: Hidden,
    /// Other names and addresses that are.
    pub other_destinations: Hidden,
}

/// Those in back-off of whom only a hash is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hidden {
    /// How many.
    pub count: usize,
    /// When the last back-off of all ends, in nanoseconds of `CLOCK_MONOTONIC`.
    pub until: u64,
}

impl Hidden {
    /// Of so many in all, those that are not listed.
    pub const fn beside(all: usize, listed: usize, until: u64) -> Self {
        Self { count: all.saturating_sub(listed), until }
    }
}
