//! Brings the object into the kernel and fills its maps.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::panic::resume_unwind;
use std::thread;

use anyhow::Context as _;
use aya::maps::lpm_trie::Key as Prefix;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError};
use aya::programs::{CgroupSkb, CgroupSockAddr, Program, ProgramError, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use limiter_common::maps;
use limiter_common::name::{NameHash, NameSecret};
use limiter_common::outbound::{HostRule, Settings};
use limiter_common::rule::{PortSet, Rule};
use limiter_common::sources::{Set, WAYS};

use self::secrets::Secrets;
use self::sizes::Sizes;
use super::Pins;
use super::open::{CORRECT, COUNT_OPEN};
use crate::config::hostname::HostPattern;
use crate::failure::Failure;
use crate::namespace;
use crate::policy::{Entries, OutboundEntries};

mod secrets;
mod sizes;

/// The BPF object, an ELF file.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LIMITER_OBJECT"));

/// The name of the program for interfaces.
pub const INBOUND: &str = "inbound";
const TEACH: &str = "teach";
/// Programs that judge calls of the processes in a cgroup.
const CALLS: [&str; 4] = ["connect4", "connect6", "sendmsg4", "sendmsg6"];
/// Programs that see the packets of its sockets.
const PACKETS: [&str; 2] = ["egress", "ingress"];

/// All programs and their maps; which are loaded depends on what is to be limited. Nothing is attached yet.
pub struct Programs {
    pub(super) ebpf: Ebpf,
}

impl Programs {
    /// Loads what these entries need, with fresh secrets, and room for so many sources or a few more.
    ///
    /// # Errors
    ///
    /// No memory for a map, or a kernel that refuses a program: then with the verifier's words.
    pub fn load(entries: &Entries, max_sources: u64) -> anyhow::Result<Self> {
        Self::load_with(entries, &Sizes::new(entries, max_sources), Secrets::random()?, None)
    }

    /// The same, with the secrets and the state that are pinned, or pinned from now on.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; a pinned table of sources with another size.
    pub fn load_pinned(entries: &Entries, max_sources: u64, pins: &Pins) -> anyhow::Result<Self> {
        let sizes = Sizes::new(entries, max_sources).kept(pins)?;
        let secrets = Secrets::pinned(pins)?.map_or_else(Secrets::random, Ok)?;
        Self::load_with(entries, &sizes, secrets, Some(pins))
    }

    fn load_with(
        entries: &Entries,
        sizes: &Sizes,
        secrets: Secrets,
        pins: Option<&Pins>,
    ) -> anyhow::Result<Self> {
        let watch_handshakes = entries.watch_handshakes();
        let namespace = if watch_handshakes { namespace::cookie()? } else { 0 };
        let mask = sizes.of(maps::SOURCES) - 1;
        let mut loader = EbpfLoader::new();
        loader
            .override_global(maps::SECRET, &secrets.sources, true)
            .override_global(maps::SET_MASK, &mask, true)
            .override_global(maps::NAMESPACE, &namespace, true);
        for (name, size) in sizes.0 {
            loader.map_max_entries(name, size);
        }
        if let Some(pins) = pins {
            for name in maps::KEPT {
                loader.map_pin_path(name, pins.map_path(name));
            }
        }
        let ebpf = loader.load(OBJECT).map_err(|error| explain(error, sizes.of(maps::SOURCES)))?;
        // It holds all types of the kernel, 10 MiB of memory and more, and the programs need some as well.
        drop(loader);
        let mut programs = Self { ebpf };
        programs.write_settings(entries, secrets)?;
        let mut needed = Vec::new();
        if !entries.rules.is_empty() {
            programs.fill_inbound(entries)?;
            needed.push(INBOUND);
        }
        if watch_handshakes {
            needed.extend([COUNT_OPEN, CORRECT]);
        }
        if let Some(outbound) = &entries.outbound {
            programs.fill_outbound(outbound, &secrets.names)?;
            needed.extend(CALLS.into_iter().chain(PACKETS).chain([TEACH]));
        }
        programs.load_all(&needed)?;
        Ok(programs)
    }

    /// Each in a thread of its own: the kernel verifies each by itself, and that is most of the time it takes to attach.
    fn load_all(&mut self, names: &[&str]) -> anyhow::Result<()> {
        let needed = self.ebpf.programs_mut().filter(|(name, _)| names.contains(name));
        thread::scope(|scope| {
            let start = |(name, program)| {
                let load =
                    move || load(program).with_context(|| format!("the kernel refused program {name}"));
                thread::Builder::new().spawn_scoped(scope, load)
            };
            let threads = needed.map(start).collect::<Result<Vec<_>, _>>().context("no more threads")?;
            let results =
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            results.collect()
        })
    }

    /// The program for interfaces.
    pub fn inbound(&mut self) -> &mut Xdp {
        self.program(INBOUND)
    }

    /// The program that learns from answers which it is given.
    pub fn teach(&mut self) -> &mut CgroupSkb {
        self.packets(TEACH)
    }

    /// A loaded program by its name, to take the place of another one.
    ///
    /// # Errors
    ///
    /// Where it is not loaded.
    pub fn fd(&self, name: &str) -> anyhow::Result<BorrowedFd<'_>> {
        let program = self.ebpf.program(name).with_context(|| format!("there is no program {name}"))?;
        Ok(program.fd().with_context(|| format!("program {name} is not loaded"))?.as_fd())
    }

    /// The programs for calls, each with its name.
    pub fn calls(&mut self) -> impl Iterator<Item = (&str, &mut CgroupSockAddr)> {
        self.ebpf
            .programs_mut()
            .filter(|(name, _)| CALLS.contains(name))
            .filter_map(|(name, program)| Some((name, program.try_into().ok()?)))
    }

    /// A program for packets by its name.
    pub fn packets(&mut self, name: &str) -> &mut CgroupSkb {
        self.program(name)
    }

    pub(super) fn program<'a, P>(&'a mut self, name: &str) -> &'a mut P
    where
        &'a mut P: TryFrom<&'a mut Program>,
    {
        self.ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .unwrap_or_else(|| unreachable!("the object is built with program {name}"))
    }

    /// Each map with its name.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.ebpf.maps()
    }

    /// A map by one of the names in [`maps`].
    pub fn map(&self, name: &str) -> &Map {
        self.ebpf.map(name).unwrap_or_else(|| unreachable!("the object is built with map {name}"))
    }

    /// The same, to be written.
    pub fn map_mut(&mut self, name: &str) -> &mut Map {
        self.ebpf.map_mut(name).unwrap_or_else(|| unreachable!("the object is built with map {name}"))
    }

    fn fill_inbound(&mut self, entries: &Entries) -> anyhow::Result<()> {
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

    fn fill_outbound(&mut self, entries: &OutboundEntries, names: &NameSecret) -> anyhow::Result<()> {
        let mut rules: Array<&mut MapData, HostRule> = self.map_mut(maps::HOST_RULES).try_into()?;
        for (number, rule) in &entries.rules {
            rules.set(*number, *rule, 0).context("cannot write a rule")?;
        }
        let mut patterns: HashMap<&mut MapData, u64, u32> = self.map_mut(maps::PATTERNS).try_into()?;
        for (pattern, rule) in &entries.patterns {
            if let Some(key) = pattern_key(names, pattern) {
                patterns.insert(key, rule, 0).with_context(|| format!("cannot write the name {pattern}"))?;
            }
        }
        let mut networks: LpmTrie<&mut MapData, [u64; 2], u32> = self.map_mut(maps::NETWORKS).try_into()?;
        for (network, rule) in &entries.networks {
            let Some((address, length)) = network.mapped() else { continue };
            let key = Prefix::new(length, address.halves());
            networks.insert(&key, rule, 0).with_context(|| format!("cannot write the network {network}"))?;
        }
        Ok(())
    }

    fn write_settings(&mut self, entries: &Entries, secrets: Secrets) -> anyhow::Result<()> {
        let settings = Settings {
            names: secrets.names,
            places: secrets.places,
            sources: secrets.sources,
            set_mask: maps::MAX_STATES / WAYS as u32 - 1,
            errno: entries.outbound.as_ref().map_or(0, |outbound| outbound.errno),
            flags: entries.outbound.as_ref().map_or(0, |outbound| outbound.flags),
            reserved: 0,
        };
        let mut array: Array<&mut MapData, Settings> = self.map_mut(maps::SETTINGS).try_into()?;
        array.set(0, settings, 0).context("cannot write the settings")
    }
}

/// Loads one of the programs, of a kind that the object has.
///
/// # Errors
///
/// With the verifier's words.
pub fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::Xdp(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// How the table of patterns calls a name or a wildcard.
pub fn pattern_key(secret: &NameSecret, pattern: &HostPattern) -> Option<u64> {
    match pattern {
        HostPattern::Exact(name) => Some(name_hash(secret, name).exact_key()),
        HostPattern::Wildcard(name) => Some(name_hash(secret, name).wildcard_key()),
        HostPattern::Network(_) => None,
    }
}

/// The hash of a name, written with dots and in lower case.
pub fn name_hash(secret: &NameSecret, name: &str) -> NameHash {
    NameHash::of(secret, name.split('.').map(str::as_bytes).collect::<Vec<_>>())
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
