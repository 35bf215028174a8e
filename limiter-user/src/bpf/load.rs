//! Brings the object into the kernel and fills its maps.

use anyhow::Context as _;
use aya::maps::{Array, Map, MapData, MapError};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfError, EbpfLoader};
use limiter_common::key::Secret;
use limiter_common::maps;
use limiter_common::rule::{PortSet, Rule};
use limiter_common::sources::{Set, WAYS};

use crate::failure::Failure;
use crate::policy::Entries;

/// The BPF object, an ELF file.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LIMITER_OBJECT"));
const PROGRAM: &str = "inbound";

/// The inbound program and its maps, loaded and not yet attached.
pub struct Inbound {
    ebpf: Ebpf,
}

impl Inbound {
    /// Loads the program with a fresh secret, these entries, and room for so many sources or a few more.
    ///
    /// # Errors
    ///
    /// No memory for a map, or a kernel that refuses the program: then with the verifier's words.
    pub fn load(entries: &Entries, max_sources: u64) -> anyhow::Result<Self> {
        let secret = new_secret()?;
        let sets = max_sources.div_ceil(WAYS as u64).next_power_of_two() as u32;
        let mask = sets - 1;
        let ebpf = EbpfLoader::new()
            .override_global(maps::SECRET, &secret, true)
            .override_global(maps::SET_MASK, &mask, true)
            .map_max_entries(maps::SOURCES, sets)
            .load(OBJECT)
            .map_err(|error| explain(error, sets))?;
        let mut inbound = Self { ebpf };
        inbound.fill(entries)?;
        inbound.program().load().context("the kernel refused the program")?;
        Ok(inbound)
    }

    /// The program.
    pub fn program(&mut self) -> &mut Xdp {
        self.ebpf
            .program_mut(PROGRAM)
            .and_then(|program| program.try_into().ok())
            .unwrap_or_else(|| unreachable!("the object is built with this program"))
    }

    /// Each map with its name.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.ebpf.maps()
    }

    /// A map by one of the names in [`maps`].
    pub fn map(&self, name: &str) -> &Map {
        self.ebpf.map(name).unwrap_or_else(|| unreachable!("the object is built with map {name}"))
    }

    fn fill(&mut self, entries: &Entries) -> anyhow::Result<()> {
        let mut rules: Array<&mut MapData, Rule> = self.map_mut(maps::RULES).try_into()?;
        for (number, rule) in &entries.rules {
            rules.set(*number, *rule, 0).context("cannot write a rule")?;
        }
        let mut ports: Array<&mut MapData, PortSet> = self.map_mut(maps::PORTS).try_into()?;
        for (index, set) in &entries.ports {
            ports.set(*index, *set, 0).context("cannot write the ports")?;
        }
        Ok(())
    }

    /// The same, to be written.
    pub fn map_mut(&mut self, name: &str) -> &mut Map {
        self.ebpf.map_mut(name).unwrap_or_else(|| unreachable!("the object is built with map {name}"))
    }
}

fn new_secret() -> anyhow::Result<Secret> {
    let mut words = [0; 6];
    for word in &mut words {
        *word = getrandom::u64().context("the kernel gives no random numbers")?;
    }
    Ok(Secret(words))
}

/// A map that the kernel has no memory for is the one error of loading that has a cure.
fn explain(error: EbpfError, sets: u32) -> anyhow::Error {
    match &error {
        EbpfError::MapError(MapError::CreateError { name, io_error })
            if io_error.kind() == std::io::ErrorKind::OutOfMemory =>
        {
            Failure::new(
                format!("no memory for map {name} ({} MiB for the sources)", (sets as usize * size_of::<Set>()) >> 20),
                "ask for fewer with --max-sources, free memory, or raise the limit of the cgroup that this runs in",
            )
            .into()
        }
        _ => anyhow::Error::new(error).context("cannot load the maps"),
    }
}
