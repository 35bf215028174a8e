//! What the kernel's programs report of refusals.

use anyhow::Context as _;
use aya::maps::{Array, Map, MapData, RingBuf};
use limiter_common::gcra::{Limit, State};
use limiter_common::key::{Place, Secret};
use limiter_common::maps;
use limiter_common::outbound::Settings;
use limiter_common::report::{LOST, REPORTED, Report};
use limiter_common::rule::Rule;
use limiter_common::sources::{Set, find_state};

use super::Pins;

/// How many reports there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportCounts {
    /// That went to the daemon, or wait for it.
    pub reported: u64,
    /// That found no room.
    pub lost: u64,
}

impl ReportCounts {
    /// Out of the pinned map; none where an earlier limiterctl had no such map.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn read(pins: &Pins) -> anyhow::Result<Self> {
        let Some(map) = pins.find_map(maps::REPORTS_COUNTED)? else { return Ok(Self::default()) };
        let counts: Array<MapData, u64> = Map::Array(map).try_into()?;
        let count = |index| counts.get(&index, 0).context("cannot read the counters of reports");
        Ok(Self { reported: count(REPORTED)?, lost: count(LOST)? })
    }
}

/// The ring buffer with the reports that wait.
///
/// # Errors
///
/// Where it is not there.
pub fn reports(pins: &Pins) -> anyhow::Result<RingBuf<MapData>> {
    Ok(Map::RingBuf(pins.map(maps::REPORTS)?).try_into()?)
}

/// The states of sources, read one by one.
pub struct SourceStates {
    secret: Secret,
    rules: Array<MapData, Rule>,
    sets: Array<MapData, Set>,
    mask: u32,
}

impl SourceStates {
    /// Of what is pinned.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub fn pinned(pins: &Pins) -> anyhow::Result<Self> {
        let settings: Array<MapData, Settings> = Map::Array(pins.map(maps::SETTINGS)?).try_into()?;
        let sets: Array<MapData, Set> = Map::Array(pins.map(maps::SOURCES)?).try_into()?;
        Ok(Self {
            secret: settings.get(&0, 0).context("cannot read the settings")?.sources,
            rules: Map::Array(pins.map(maps::RULES)?).try_into()?,
            // As many as the program has, whose mask it is.
            mask: sets.len() - 1,
            sets,
        })
    }

    /// The rate that refused a source, and where the source stands; `None` where it has no state any more.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn of(&self, report: &Report) -> anyhow::Result<Option<(Limit, State)>> {
        let rule = self.rules.get(&report.rule, 0).context("cannot read a rule")?;
        let mask = rule.mask(report.address.is_v6());
        let place = Place::of(&self.secret, report.rule, &report.address, mask);
        let set = self.sets.get(&place.set(self.mask), 0).context("cannot read a state")?;
        Ok(find_state(&set, place.tag(), report.time).map(|state| (rule.rate, state)))
    }
}
