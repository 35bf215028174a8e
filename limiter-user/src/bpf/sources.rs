//! The table of sources, mapped into this process.

#![expect(unsafe_code, reason = "the room of memory that the kernel's programs write")]

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use aya::maps::MapData;
use limiter_common::pending;
use limiter_common::sources::{Set, WAYS, is_idle_for};
use memmap2::{MmapOptions, MmapRaw};

use crate::clock;

/// How long a source must have been idle before its cell is emptied.
///
/// A cell's 48 bits of time wrap after 78 hours and no limit looks further ahead than 24
/// (`limiter_common::gcra::MAX_HORIZON`): emptied within the rest, a cell never meets its own past.
const IDLE: Duration = Duration::from_hours(1);

/// All cells of all sources.
pub struct SourceTable {
    memory: MmapRaw,
}

impl SourceTable {
    /// How often it must be swept at least.
    pub const SWEEP_EVERY: Duration = IDLE;

    /// Maps the table.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn map(data: &MapData) -> anyhow::Result<Self> {
        let length = data.info()?.max_entries() as usize * size_of::<Set>();
        let memory = MmapOptions::new()
            .len(length)
            .map_raw(data.fd().as_fd().as_raw_fd())
            .context("cannot map the table of sources")?;
        Ok(Self { memory })
    }

    /// How many cells there are, and how many hold a source.
    pub fn fill(&self) -> (usize, usize) {
        (self.cells().len(), self.cells().iter().filter(|cell| cell.load(Ordering::Relaxed) != 0).count())
    }

    /// Empties the cells of sources that have long been idle; says how many.
    pub fn sweep(&self) -> usize {
        let (now, age) = (clock::now(), IDLE.as_nanos() as u64);
        self.clear(|cell| is_idle_for(cell, now, age))
    }

    /// The same for a table of pending handshakes, whose windows wrap after 39 hours: empties the cells in which nothing
    /// counts any more.
    pub fn sweep_pending(&self) -> usize {
        let now = clock::now();
        self.clear(|cell| cell != 0 && pending::is_over(cell, now))
    }

    fn clear(&self, is_over: impl Fn(u64) -> bool) -> usize {
        self.cells()
            .iter()
            .filter(|cell| {
                let value = cell.load(Ordering::Relaxed);
                // A source that comes back meanwhile has changed its cell, and keeps it.
                is_over(value) && cell.compare_exchange(value, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
            })
            .count()
    }

    fn cells(&self) -> &[AtomicU64] {
        let cells = self.memory.len() / size_of::<Set>() * WAYS;
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping starts on a page")]
        let first = self.memory.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping starts on a page, is this long, lives as long as `self`, and everybody who writes it,
        // the kernel's programs included, does so by whole words or compare-and-swap.
        unsafe { std::slice::from_raw_parts(first, cells) }
    }
}
