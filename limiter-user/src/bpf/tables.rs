//! Reads the counters of the program for interfaces, and sums counters over all CPUs.

use std::borrow::Borrow;

use anyhow::Context as _;
use aya::Pod;
use aya::maps::{Map, MapData, MapError, PerCpuArray};
use limiter_common::maps;
use limiter_common::verdict::{RuleCounters, SkipCounters};

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
        over_cpus(&self.rules, number, |sum: &mut RuleTotals, cpu| {
            sum.passed += cpu.passed;
            sum.allowed += cpu.allowed;
            add(&mut sum.refused, &cpu.refused);
            sum.resets += cpu.resets;
            sum.sources += cpu.sources;
            sum.evictions += cpu.evictions;
        })
        .with_context(|| format!("cannot read the counters of rule {number}"))
    }

    /// What all CPUs passed without judging it.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn skipped(&self) -> anyhow::Result<SkipTotals> {
        over_cpus(&self.skipped, 0, |sum: &mut SkipTotals, cpu| add(&mut sum.0, &cpu.0))
            .context("cannot read the counters of unjudged packets")
    }
}

/// What all CPUs counted in one element of a map.
pub(super) fn over_cpus<C: Pod + Default>(
    counters: &PerCpuArray<impl Borrow<MapData>, C>,
    index: u32,
    add: impl Fn(&mut C, &C),
) -> Result<C, MapError> {
    let mut sum = C::default();
    for cpu in counters.get(&index, 0)?.iter() {
        add(&mut sum, cpu);
    }
    Ok(sum)
}

/// Adds counters that stand side by side.
pub(super) fn add<const N: usize>(sum: &mut [u64; N], cpu: &[u64; N]) {
    for (sum, cpu) in sum.iter_mut().zip(cpu) {
        *sum += cpu;
    }
}
