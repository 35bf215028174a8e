//! The table of sources, mapped into this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aya::maps::MapData;
use limiter_common::gcra::State;
use limiter_common::key::Place;
use limiter_common::sources::{WAYS, has_tag, is_idle_for, unpack};
use limiter_common::{maps, pending};

use super::words::Words;
use crate::clock;

/// How long a source must have been idle before its cell is emptied.
///
/// A cell's 48 bits of time wrap after 78 hours and no limit looks further ahead than 24
/// (`limiter_common::gcra::MAX_HORIZON`): emptied within the rest, a cell never meets its own past.
const IDLE: Duration = Duration::from_hours(1);

/// All cells of all sources.
pub struct SourceTable(Words);

impl SourceTable {
    /// How often it must be swept at least.
    pub const SWEEP_EVERY: Duration = IDLE;

    /// Maps the table.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn map(data: &MapData) -> anyhow::Result<Self> {
        Words::map(data, maps::SOURCES).map(Self)
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

    /// What is held against whoever has this place; `None` where he has no cell.
    pub fn held(&self, place: Place, now: u64) -> Option<State> {
        let sets = (self.cells().len() / WAYS) as u32;
        self.held_in(place.set(sets - 1), place.tag(), now)
    }

    /// The same for a tag in a set.
    pub fn held_in(&self, set: u32, tag: u16, now: u64) -> Option<State> {
        let mut cells = self.set(set).iter().map(|cell| cell.load(Ordering::Relaxed));
        cells.find(|cell| has_tag(*cell, tag)).map(|cell| unpack(cell, now))
    }

    /// How many are in back-off, and for how many nanoseconds yet, at the most.
    pub fn in_backoff(&self, now: u64) -> (usize, u64) {
        let cells = self.cells().iter().map(|cell| cell.load(Ordering::Relaxed));
        cells
            .filter_map(|cell| unpack(cell, now).backs_off_for(now))
            .fold((0, 0), |(count, longest), wait| (count + 1, longest.max(wait)))
    }

    /// Empties the cell of whoever has this place; gives what it held, or `None` where there is none.
    pub fn forget(&self, place: Place, now: u64) -> Option<State> {
        let sets = (self.cells().len() / WAYS) as u32;
        self.forget_in(place.set(sets - 1), place.tag(), now)
    }

    /// The same for a tag in a set.
    pub fn forget_in(&self, set: u32, tag: u16, now: u64) -> Option<State> {
        self.set(set).iter().find_map(|cell| {
            let forget = |value| has_tag(value, tag).then_some(0);
            let held = cell.fetch_update(Ordering::SeqCst, Ordering::Relaxed, forget).ok()?;
            Some(unpack(held, now))
        })
    }

    fn set(&self, set: u32) -> &[AtomicU64] {
        self.cells().chunks_exact(WAYS).nth(set as usize).unwrap_or_default()
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
        self.0.all()
    }
}
