//! How full tables are.

use std::time::{Duration, Instant};

use limiter_common::maps;

use crate::bpf::{Pins, SourceTable, batch};

/// Counting goes through whole tables: for this long, what was counted is told again.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Tables of cells: sources, what is remembered of them, states of names and addresses.
const CELLS: [&str; 4] = [maps::SOURCES, maps::KNOWN, maps::PENDING, maps::STATES];
/// Tables of entries.
const ENTRIES: [&str; 5] = [maps::OPEN, maps::PREFIXES, maps::HOSTS, maps::LISTED, maps::UNLISTED];

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Its name, in lower case.
    pub map: String,
    /// Entries, or cells that hold something.
    pub used: u64,
    /// The most that it takes.
    pub capacity: u64,
}

/// Counts them, but not too often.
#[derive(Debug, Default)]
pub struct Fills {
    counted: Option<(Instant, Vec<Fill>)>,
}

impl Fills {
    /// How full each is, or was a few seconds ago.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn read(&mut self, pins: &Pins) -> anyhow::Result<Vec<Fill>> {
        if let Some((time, fills)) = &self.counted
            && time.elapsed() < KEPT_FOR
        {
            return Ok(fills.clone());
        }
        let fills = count(pins)?;
        self.counted = Some((Instant::now(), fills.clone()));
        Ok(fills)
    }
}

fn count(pins: &Pins) -> anyhow::Result<Vec<Fill>> {
    let mut fills = Vec::with_capacity(CELLS.len() + ENTRIES.len());
    for name in CELLS {
        // Each is mapped for as long as it takes, so that no more than one counts as this process's memory.
        let (cells, used) = SourceTable::map(&pins.map(name)?)?.fill();
        fills.push(Fill { map: name.to_lowercase(), used: used as u64, capacity: cells as u64 });
    }
    for name in ENTRIES {
        let map = pins.map(name)?;
        let used = batch::count(&map)? as u64;
        // Half of that table is for the list that takes the place of another.
        let capacity = if name == maps::PREFIXES { maps::MAX_PREFIXES } else { map.info()?.max_entries() };
        fills.push(Fill { map: name.to_lowercase(), used, capacity: capacity.into() });
    }
    Ok(fills)
}
