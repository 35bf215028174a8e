//! Floods of strangers: who is over the budget that sources without a handshake share.

use std::sync::atomic::Ordering;

use limiter_common::gate::Total;
use limiter_common::{flood, maps};

use crate::bpf::{Pins, Words};

/// Words of a rule in the table of what its sources share.
const WORDS: usize = size_of::<Total>() / size_of::<u64>();

/// What the kernel notes of refused strangers.
pub struct Floods(Words);

impl Floods {
    /// Of what is pinned.
    ///
    /// # Errors
    ///
    /// Where nothing is.
    pub fn pinned(pins: &Pins) -> anyhow::Result<Self> {
        Ok(Self(Words::map(&pins.map(maps::TOTALS)?, maps::TOTALS)?))
    }

    /// Since when a flood goes on at the rule with this number, both in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn since(&self, rule: u32, now: u64) -> Option<u64> {
        let words = &self.0.all()[rule as usize * WORDS..][..WORDS];
        let [last, since] = [Total::LAST, Total::SINCE].map(|word| words[word].load(Ordering::Relaxed));
        flood::is_on(last, now).then_some(since)
    }
}
