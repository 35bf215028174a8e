//! Keeps what this program tries itself out of the reports of refusals, and so out of their count: the kernel's programs report
//! nobody again of whom they have noted that he was reported just now.

use std::net::IpAddr;

use anyhow::Context as _;
use aya::maps::{Array, MapData};
use limiter_common::key::{Address, Place};
use limiter_common::maps;
use limiter_common::outbound::{Settings, Subject};
use limiter_common::report::{destination_slot, source_slot};

use super::Programs;
use super::outbound::address;
use crate::clock;

/// Longer than a trial takes, in nanoseconds.
const TRIAL: u64 = 10_000_000_000;

/// Whose reports are kept back. A stranger with the same place in the table of times is not reported meanwhile, nor for a
/// second afterwards, as by anybody else who shares it with him.
#[derive(Debug, Clone, Copy)]
pub enum Tried {
    /// A source, by itself, under the number of a rule for ports.
    Source(u32, Address),
    /// A destination under the number of a rule for destinations.
    Destination(u32, IpAddr),
}

impl Programs {
    /// Has nothing of these reported, until [`Self::speak`].
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub(super) fn hush(&mut self, tried: &[Tried]) -> anyhow::Result<()> {
        self.note_reported(tried, clock::now() + TRIAL)
    }

    /// Ends that.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub(super) fn speak(&mut self, tried: &[Tried]) -> anyhow::Result<()> {
        self.note_reported(tried, clock::now())
    }

    fn note_reported(&mut self, tried: &[Tried], time: u64) -> anyhow::Result<()> {
        let settings: Array<&MapData, Settings> = self.map(maps::SETTINGS).try_into()?;
        let settings = settings.get(&0, 0).context("cannot read the settings")?;
        let mut times: Array<&mut MapData, u64> = self.map_mut(maps::REPORTED).try_into()?;
        for tried in tried {
            times.set(tried.slot(&settings), time, 0).context("cannot note who was reported")?;
        }
        Ok(())
    }
}

impl Tried {
    /// Where the programs note it.
    fn slot(self, settings: &Settings) -> u32 {
        match self {
            Self::Source(rule, source) => {
                source_slot(Place::of_key(&settings.sources, rule, source.halves()))
            }
            Self::Destination(rule, ip) => destination_slot(settings, Subject::address(rule, &address(ip))),
        }
    }
}
