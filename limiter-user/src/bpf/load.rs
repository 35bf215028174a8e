//! Brings the object into the kernel and fills its maps.

use anyhow::Context as _;
use aya::maps::lpm_trie::Key as Prefix;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError};
use aya::programs::{CgroupSkb, CgroupSockAddr, Program, ProgramError, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use limiter_common::key::Secret;
use limiter_common::maps;
use limiter_common::name::{NameHash, NameSecret};
use limiter_common::outbound::{HostRule, Settings};
use limiter_common::rule::{PortSet, Rule};
use limiter_common::sources::{Set, WAYS};

use super::open::CORRECT;
use crate::config::hostname::HostPattern;
use crate::failure::Failure;
use crate::namespace;
use crate::policy::{Entries, OutboundEntries};

/// The BPF object, an ELF file.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LIMITER_OBJECT"));

const INBOUND: &str = "inbound";
const TEACH: &str = "teach";
/// Programs that judge calls of the processes in a cgroup.
const CALLS: [&str; 4] = ["connect4", "connect6", "sendmsg4", "sendmsg6"];
/// Programs that see the packets of its sockets.
const PACKETS: [&str; 2] = ["egress", "ingress"];

/// All programs and their maps; which are loaded depends on what is to be limited. Nothing is attached yet.
pub struct Programs {
    ebpf: Ebpf,
}

impl Programs {
    /// Loads what these entries need, with fresh secrets, and room for so many sources or a few more.
    ///
    /// # Errors
    ///
    /// No memory for a map, or a kernel that refuses a program: then with the verifier's words.
    pub fn load(entries: &Entries, max_sources: u64) -> anyhow::Result<Self> {
        let secret = Secret(random()?);
        let sets = max_sources.div_ceil(WAYS as u64).next_power_of_two() as u32;
        let mask = sets - 1;
        let watch_handshakes = entries.watch_handshakes();
        let namespace = if watch_handshakes { namespace::cookie()? } else { 0 };
        let ebpf = EbpfLoader::new()
            .override_global(maps::SECRET, &secret, true)
            .override_global(maps::SET_MASK, &mask, true)
            .override_global(maps::NAMESPACE, &namespace, true)
            .map_max_entries(maps::SOURCES, if entries.rules.is_empty() { 1 } else { sets })
            .map_max_entries(maps::OPEN, if watch_handshakes { maps::MAX_OPEN } else { 1 })
            .map_max_entries(
                maps::PENDING,
                if watch_handshakes { maps::MAX_PENDING / WAYS as u32 } else { 1 },
            )
            .map_max_entries(maps::KNOWN, if watch_handshakes { maps::MAX_KNOWN / WAYS as u32 } else { 1 })
            .load(OBJECT)
            .map_err(|error| explain(error, sets))?;
        let mut programs = Self { ebpf };
        if !entries.rules.is_empty() {
            programs.fill_inbound(entries)?;
            programs.inbound().load().context("the kernel refused the program for interfaces")?;
        }
        if watch_handshakes {
            programs.count_open().load().context("the kernel refused the program that counts connections")?;
            programs
                .packets(CORRECT)
                .load()
                .context("the kernel refused the program that corrects counts")?;
        }
        if let Some(outbound) = &entries.outbound {
            programs.fill_outbound(outbound)?;
            programs.load_outbound().context("the kernel refused a program for cgroups")?;
        }
        Ok(programs)
    }

    /// The program for interfaces.
    pub fn inbound(&mut self) -> &mut Xdp {
        self.program(INBOUND)
    }

    /// The program that learns from answers which it is given.
    pub fn teach(&mut self) -> &mut CgroupSkb {
        self.packets(TEACH)
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

    fn fill_outbound(&mut self, entries: &OutboundEntries) -> anyhow::Result<()> {
        let names = NameSecret::new(random()?);
        let mut rules: Array<&mut MapData, HostRule> = self.map_mut(maps::HOST_RULES).try_into()?;
        for (number, rule) in &entries.rules {
            rules.set(*number, *rule, 0).context("cannot write a rule")?;
        }
        let mut patterns: HashMap<&mut MapData, u64, u32> = self.map_mut(maps::PATTERNS).try_into()?;
        for (pattern, rule) in &entries.patterns {
            if let Some(key) = pattern_key(&names, pattern) {
                patterns.insert(key, rule, 0).with_context(|| format!("cannot write the name {pattern}"))?;
            }
        }
        let mut networks: LpmTrie<&mut MapData, [u64; 2], u32> = self.map_mut(maps::NETWORKS).try_into()?;
        for (network, rule) in &entries.networks {
            let Some((address, length)) = network.mapped() else { continue };
            let key = Prefix::new(length, address.halves());
            networks.insert(&key, rule, 0).with_context(|| format!("cannot write the network {network}"))?;
        }
        let settings = Settings {
            names,
            places: random()?,
            set_mask: maps::MAX_STATES / WAYS as u32 - 1,
            errno: entries.errno,
            flags: entries.flags,
            reserved: 0,
        };
        let mut array: Array<&mut MapData, Settings> = self.map_mut(maps::SETTINGS).try_into()?;
        array.set(0, settings, 0).context("cannot write the settings")
    }

    fn load_outbound(&mut self) -> Result<(), ProgramError> {
        for (_, program) in self.calls() {
            program.load()?;
        }
        for name in PACKETS.into_iter().chain([TEACH]) {
            self.packets(name).load()?;
        }
        Ok(())
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

fn random<const N: usize>() -> anyhow::Result<[u64; N]> {
    let mut words = [0; N];
    for word in &mut words {
        *word = getrandom::u64().context("the kernel gives no random numbers")?;
    }
    Ok(words)
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
