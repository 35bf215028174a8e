//! The program that counts open connections, and its maps.

use std::collections::HashMap as StdHashMap;
use std::fs::File;

use anyhow::{Context as _, ensure};
use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use aya::programs::links::FdLink;
use aya::programs::{SockOps, TestRun as _, TestRunOptions};
use limiter_common::maps::{self, MAX_OPEN};
use limiter_common::open::{Correction, EventCounters, Key};

use super::cgroup::{MODE, frame};
use super::tables::{add, over_cpus};
use super::{Pins, Programs};

/// The name of the program, and of its link.
pub const COUNT_OPEN: &str = "count_open";
/// The name of the program that corrects a count.
pub const CORRECT: &str = "correct";

impl Programs {
    /// The program that counts.
    pub fn count_open(&mut self) -> &mut SockOps {
        self.program(COUNT_OPEN)
    }

    /// Lets it count the sockets of all processes in this cgroup, beside whatever is there.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn attach_count_open(&mut self, cgroup: &File) -> anyhow::Result<FdLink> {
        let program = self.count_open();
        let id =
            program.attach(cgroup, MODE).context("cannot attach the program that counts open connections")?;
        Ok(program.take_link(id)?.try_into()?)
    }

    /// Corrects a count, unless it has changed; says whether it did.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn correct(&mut self, correction: &Correction) -> anyhow::Result<bool> {
        let frame = frame(&bytes(correction));
        let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
        let result =
            self.packets(CORRECT).test_run(options).context("cannot run the program that corrects")?;
        ensure!(result.return_value <= 1, "the program that corrects returned {}", result.return_value);
        Ok(result.return_value == 1)
    }
}

/// A correction as it lies in memory.
fn bytes(correction: &Correction) -> Vec<u8> {
    let Correction { key, expected, next, counted } = correction;
    let mut bytes = [key.rule.to_ne_bytes(), key.reserved.to_ne_bytes()].concat();
    for word in key.source.halves().into_iter().chain([*expected, *next, *counted]) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// The maps of open connections, from pins.
pub struct OpenTables {
    counts: HashMap<MapData, Key, u64>,
    events: PerCpuArray<MapData, EventCounters>,
}

impl OpenTables {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// Where they are not there.
    pub fn pinned(pins: &Pins) -> anyhow::Result<Self> {
        Ok(Self {
            counts: Map::HashMap(pins.map(maps::OPEN)?).try_into()?,
            events: Map::PerCpuArray(pins.map(maps::OPEN_EVENTS)?).try_into()?,
        })
    }

    /// The word of each count: see [`limiter_common::open::Count`].
    pub fn counts(&self) -> StdHashMap<Key, u64> {
        // Where an entry goes in the moment in which it is read, the kernel begins anew: so there is an end to it.
        self.counts.iter().take(2 * MAX_OPEN as usize).filter_map(Result::ok).collect()
    }

    /// What all CPUs counted beside the rules.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn events(&self) -> anyhow::Result<EventCounters> {
        over_cpus(&self.events, 0, |sum: &mut EventCounters, cpu| add(&mut sum.0, &cpu.0))
            .context("cannot read the counters of events")
    }
}
