//! How large the maps are.

use limiter_common::maps;
use limiter_common::sources::WAYS;

use crate::bpf::Pins;
use crate::failure::Failure;
use crate::policy::Entries;

/// How large the maps are whose size depends on what is asked for.
pub(super) struct Sizes(pub(super) [(&'static str, u32); 4]);

impl Sizes {
    /// Of a map that nothing will be kept in.
    const NONE: u32 = 1;

    pub(super) fn new(entries: &Entries, max_sources: u64) -> Self {
        let sets = max_sources.div_ceil(WAYS as u64).next_power_of_two() as u32;
        let or_none = |needed: bool, size: u32| if needed { size } else { Self::NONE };
        let watch_handshakes = entries.watch_handshakes();
        Self([
            (maps::SOURCES, or_none(!entries.rules.is_empty(), sets)),
            (maps::OPEN, or_none(watch_handshakes, maps::MAX_OPEN)),
            (maps::PENDING, or_none(watch_handshakes, maps::MAX_PENDING / WAYS as u32)),
            (maps::KNOWN, or_none(watch_handshakes, maps::MAX_KNOWN / WAYS as u32)),
        ])
    }

    pub(super) fn of(&self, name: &str) -> u32 {
        self.0.iter().find(|(own, _)| *own == name).map_or(Self::NONE, |(_, size)| *size)
    }

    /// The same, beside what is pinned: what is there stays, unless it was made to hold nothing.
    pub(super) fn kept(mut self, pins: &Pins) -> anyhow::Result<Self> {
        for (name, size) in &mut self.0 {
            let Some(pinned) = pins.find_map(name)? else { continue };
            let there = pinned.info()?.max_entries();
            match (there, *size) {
                (there, size) if there == size => {}
                (Self::NONE, _) => pins.forget_map(name)?,
                (there, Self::NONE) => *size = there,
                (there, wanted) => {
                    let room = |sets: u32| u64::from(sets) * WAYS as u64;
                    return Err(Failure::new(
                        format!(
                            "there is room for {} sources, which are being limited, and {} are asked for",
                            room(there),
                            room(wanted)
                        ),
                        "leave the number as it is; or take all off, with what is counted: limiterctl detach",
                    )
                    .into());
                }
            }
        }
        Ok(self)
    }
}
