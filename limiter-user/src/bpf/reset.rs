//! Clears what was counted and held in common under the number of a rule, before another rule gets it.

use std::sync::atomic::Ordering;

use anyhow::Context as _;
use aya::Pod;
use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use limiter_common::gate::Total;
use limiter_common::maps;
use limiter_common::outbound::Kind;
use limiter_common::outbound::tables::HostCounters;
use limiter_common::sources::WAYS;
use limiter_common::verdict::RuleCounters;

use super::{Pins, Words};
use crate::policy::Numbering;

/// Clears it for the numbers that rules have `now` and had not `before`.
///
/// What single sources and names used up under such a number is cut back to what the new limit can have left.
///
/// # Errors
///
/// As the kernel says.
pub fn reset_numbers(pins: &Pins, now: &Numbering, before: &Numbering) -> anyhow::Result<()> {
    for number in now.inbound.new_since(&before.inbound) {
        reset_counters::<RuleCounters>(pins, maps::COUNTERS, number)?;
        reset_words(pins, maps::TOTALS, number as usize, size_of::<Total>() / size_of::<u64>())?;
    }
    for number in now.outbound.new_since(&before.outbound) {
        reset_counters::<HostCounters>(pins, maps::HOST_COUNTERS, number)?;
        reset_words(pins, maps::SHARED_STATES, number as usize, Kind::ALL.len() * WAYS)?;
    }
    Ok(())
}

fn reset_counters<C: Pod + Default>(pins: &Pins, name: &str, number: u32) -> anyhow::Result<()> {
    let mut counters: PerCpuArray<MapData, C> = Map::PerCpuArray(pins.map(name)?).try_into()?;
    let cpus = nr_cpus().map_err(|(_, error)| error).context("cannot count the CPUs")?;
    let zeroes = PerCpuValues::try_from(vec![C::default(); cpus])?;
    counters.set(number, zeroes, 0).with_context(|| format!("cannot clear the counters of rule {number}"))
}

fn reset_words(pins: &Pins, name: &str, element: usize, words: usize) -> anyhow::Result<()> {
    let table = Words::map(&pins.map(name)?, name)?;
    for word in &table.all()[element * words..][..words] {
        word.store(0, Ordering::Relaxed);
    }
    Ok(())
}
