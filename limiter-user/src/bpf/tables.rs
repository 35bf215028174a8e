//! Reads the counters.

use std::borrow::Borrow;

use anyhow::Context as _;
use aya::maps::{Map, MapData, PerCpuArray};
use limiter_common::maps;
use limiter_common::verdict::{Reason, RuleCounters, Skip, SkipCounters};

use super::{Pins, Programs};

/// A rule's counters over all CPUs.
pub type RuleTotals = RuleCounters;
/// The counters of what was not judged, over all CPUs.
pub type SkipTotals = SkipCounters;

/// The counters, in the maps of a loaded program or in pinned ones.
pub struct Tables<T: Borrow<MapData>> {
    rules: PerCpuArray<T, RuleCounters>,
    skipped: PerCpuArray<T, SkipCounters>,
}

impl<'a> Tables<&'a MapData> {
    /// Of a program that this process loaded.
    ///
    /// # Errors
    ///
    /// None, unless the object is not ours.
    pub fn of(programs: &'a Programs) -> anyhow::Result<Self> {
        Ok(Self {
            rules: programs.map(maps::COUNTERS).try_into()?,
            skipped: programs.map(maps::SKIPPED).try_into()?,
        })
    }
}

impl Tables<MapData> {
    /// Of whatever is pinned.
    ///
    /// # Errors
    ///
    /// Where nothing is.
    pub fn pinned(pins: &Pins) -> anyhow::Result<Self> {
        Ok(Self {
            rules: Map::PerCpuArray(pins.map(maps::COUNTERS)?).try_into()?,
            skipped: Map::PerCpuArray(pins.map(maps::SKIPPED)?).try_into()?,
        })
    }
}

impl<T: Borrow<MapData>> Tables<T> {
    /// What each CPU counted for a rule.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn rule_by_cpu(&self, number: u32) -> anyhow::Result<Vec<RuleCounters>> {
        let values = self
            .rules
            .get(&number, 0)
            .with_context(|| format!("cannot read the counters of rule {number}"))?;
        Ok(values.iter().copied().collect())
    }

    /// What all CPUs counted for a rule.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn rule(&self, number: u32) -> anyhow::Result<RuleTotals> {
        let mut sum = RuleTotals::default();
        for cpu in self.rule_by_cpu(number)? {
            sum.passed += cpu.passed;
            sum.allowed += cpu.allowed;
            for reason in Reason::INBOUND {
                sum.refused[reason as usize] += cpu.refused[reason as usize];
            }
            sum.resets += cpu.resets;
            sum.sources += cpu.sources;
            sum.evictions += cpu.evictions;
        }
        Ok(sum)
    }

    /// What all CPUs passed without judging it.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn skipped(&self) -> anyhow::Result<SkipTotals> {
        let mut sum = SkipTotals::default();
        for cpu in self.skipped.get(&0, 0).context("cannot read the counters of unjudged packets")?.iter() {
            for skip in Skip::ALL {
                sum.0[skip as usize] += cpu.0[skip as usize];
            }
        }
        Ok(sum)
    }
}
