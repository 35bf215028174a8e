//! What nobody may know who chooses addresses or names.

use anyhow::Context as _;
use aya::maps::{Array, Map, MapData};
use limiter_common::key::Secret;
use limiter_common::maps;
use limiter_common::name::NameSecret;
use limiter_common::outbound::Settings;

use crate::bpf::Pins;

/// What sources, names and their states are placed with; nobody may know it who can choose them.
#[derive(Clone, Copy)]
pub(super) struct Secrets {
    pub(super) sources: Secret,
    pub(super) names: NameSecret,
    pub(super) places: [u64; 6],
}

impl Secrets {
    pub(super) fn random() -> anyhow::Result<Self> {
        Ok(Self { sources: Secret(random()?), names: NameSecret::new(random()?), places: random()? })
    }

    /// Those that pinned states were placed with.
    pub(super) fn pinned(pins: &Pins) -> anyhow::Result<Option<Self>> {
        let Some(map) = pins.find_map(maps::SETTINGS)? else { return Ok(None) };
        let array: Array<MapData, Settings> = Map::Array(map).try_into()?;
        let settings = array.get(&0, 0).context("cannot read the settings")?;
        Ok(Some(Self { sources: settings.sources, names: settings.names, places: settings.places }))
    }
}

fn random<const N: usize>() -> anyhow::Result<[u64; N]> {
    let mut words = [0; N];
    for word in &mut words {
        *word = getrandom::u64().context("the kernel gives no random numbers")?;
    }
    Ok(words)
}
