//! The outbound maps, and what people call their keys.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use aya::maps::lpm_trie::Key as Prefix;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray};
use limiter_common::gcra::State;
use limiter_common::key::Address;
use limiter_common::mapping::{GRACE, Names};
use limiter_common::maps;
use limiter_common::name::NameId;
use limiter_common::outbound::tables::{EventCounters, HostCounters, HostName, UnreadCounters};
use limiter_common::outbound::{DEFAULT_RULE, HostRule, Kind, SHARED_TAG, Settings, Subject};
use limiter_common::sources::{Set, find_state};

use super::Pins;
use super::load::pattern_key;
use super::tables::{add, over_cpus};
use crate::config::hostname::HostPattern;

/// The outbound maps, from pins.
pub struct HostTables {
    /// What is true for all connections.
    pub settings: Settings,
    rules: Array<MapData, HostRule>,
    counters: PerCpuArray<MapData, HostCounters>,
    patterns: HashMap<MapData, u64, u32>,
    networks: LpmTrie<MapData, [u64; 2], u32>,
    pub(super) hosts: HashMap<MapData, u64, HostName>,
    pub(super) listed: HashMap<MapData, Address, Names>,
    pub(super) unlisted: HashMap<MapData, Address, Names>,
    states: Array<MapData, Set>,
    shared_states: Array<MapData, Set>,
    events: PerCpuArray<MapData, EventCounters>,
    unread: PerCpuArray<MapData, UnreadCounters>,
}

impl HostTables {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// Where they are not there.
    pub fn pinned(pins: &Pins) -> anyhow::Result<Self> {
        let map = |name| pins.map(name);
        let settings: Array<MapData, Settings> = Map::Array(map(maps::SETTINGS)?).try_into()?;
        Ok(Self {
            settings: settings.get(&0, 0).context("cannot read the settings")?,
            rules: Map::Array(map(maps::HOST_RULES)?).try_into()?,
            counters: Map::PerCpuArray(map(maps::HOST_COUNTERS)?).try_into()?,
            patterns: Map::HashMap(map(maps::PATTERNS)?).try_into()?,
            networks: Map::LpmTrie(map(maps::NETWORKS)?).try_into()?,
            hosts: Map::LruHashMap(map(maps::HOSTS)?).try_into()?,
            listed: Map::HashMap(map(maps::LISTED)?).try_into()?,
            unlisted: Map::LruHashMap(map(maps::UNLISTED)?).try_into()?,
            states: Map::Array(map(maps::STATES)?).try_into()?,
            shared_states: Map::Array(map(maps::SHARED_STATES)?).try_into()?,
            events: Map::PerCpuArray(map(maps::EVENTS)?).try_into()?,
            unread: Map::PerCpuArray(map(maps::UNREAD)?).try_into()?,
        })
    }

    /// A rule as the kernel has it.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn rule(&self, number: u32) -> anyhow::Result<HostRule> {
        self.rules.get(&number, 0).with_context(|| format!("cannot read rule {number}"))
    }

    /// What all CPUs counted for a rule.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn counters(&self, number: u32) -> anyhow::Result<HostCounters> {
        over_cpus(&self.counters, number, |sum: &mut HostCounters, cpu| {
            sum.allowed += cpu.allowed;
            add(&mut sum.refused, &cpu.refused);
        })
        .with_context(|| format!("cannot read the counters of rule {number}"))
    }

    /// What all CPUs counted beside the rules.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn events(&self) -> anyhow::Result<EventCounters> {
        over_cpus(&self.events, 0, |sum: &mut EventCounters, cpu| add(&mut sum.0, &cpu.0))
            .context("cannot read the counters of events")
    }

    /// What all CPUs could not read or keep.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn unread(&self) -> anyhow::Result<UnreadCounters> {
        over_cpus(&self.unread, 0, |sum: &mut UnreadCounters, cpu| add(&mut sum.0, &cpu.0))
            .context("cannot read the counters of DNS messages")
    }

    /// The rule that the table of patterns has for one of its keys.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn pattern(&self, key: u64) -> anyhow::Result<Option<u32>> {
        found(self.patterns.get(&key, 0)).context("cannot look up a name's rule")
    }

    /// The number of the rule for a name, found as the kernel does: the longest name that is listed wins.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn rule_of(&self, name: &str) -> anyhow::Result<u32> {
        let exact = HostPattern::Exact(name.to_owned());
        let parents =
            name.match_indices('.').map(|(dot, _)| HostPattern::Wildcard(name[dot + 1..].to_owned()));
        for pattern in std::iter::once(exact).chain(parents) {
            let key = pattern_key(&self.settings.names, &pattern);
            if let Some(rule) = key.map(|key| self.pattern(key)).transpose()?.flatten() {
                return Ok(rule);
            }
        }
        Ok(DEFAULT_RULE)
    }

    /// The rule of the longest listed prefix that an address lies in.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn network(&self, address: &Address) -> anyhow::Result<Option<u32>> {
        found(self.networks.get(&Prefix::new(128, address.halves()), 0)).context("cannot look up a network")
    }

    /// The names of an address: first those that rules list, then the others.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn names(&self, address: &Address) -> anyhow::Result<[Option<Names>; 2]> {
        let listed = found(self.listed.get(address, 0)).context("cannot look up an address")?;
        let unlisted = found(self.unlisted.get(address, 0)).context("cannot look up an address")?;
        Ok([listed, unlisted])
    }

    /// All addresses that have names.
    pub fn addresses(&self) -> impl Iterator<Item = (Address, Names)> {
        self.listed.iter().chain(self.unlisted.iter()).filter_map(Result::ok)
    }

    /// Removes the addresses of listed names that have been over their time at `now` for as long as they had grace; says
    /// how many. The table of the others makes room for itself.
    ///
    /// Without this, addresses that services have long left would fill the table. One that is resolved anew in the moment
    /// in which it is removed has to be resolved once more.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn sweep(&mut self, now: u64) -> anyhow::Result<usize> {
        let is_over = |names: &Names| names.until.iter().all(|until| until + GRACE < now);
        let entries = self.listed.iter().filter_map(Result::ok);
        let over: Vec<_> = entries.filter(|(_, names)| is_over(names)).map(|(address, _)| address).collect();
        for address in &over {
            match self.listed.remove(address) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error).context("cannot remove an address"),
            }
        }
        Ok(over.len())
    }

    /// All names that are known.
    pub fn hosts(&self) -> impl Iterator<Item = (NameId, HostName)> {
        let hosts = self.hosts.iter().filter_map(Result::ok);
        hosts.filter_map(|(id, host)| Some((NameId::from_bits(id)?, host)))
    }

    /// What is known of a name.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn host(&self, id: NameId) -> anyhow::Result<Option<HostName>> {
        found(self.hosts.get(&id.bits(), 0)).context("cannot look up a name")
    }

    /// The state of a subject; `None` where it has none, as when it has been idle.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn state(
        &self,
        rule: &HostRule,
        subject: &Subject,
        kind: Kind,
        now: u64,
    ) -> anyhow::Result<Option<State>> {
        let (set, tag) = if rule.shared == 0 {
            let place = subject.place(&self.settings.places, kind);
            (self.states.get(&place.set(self.settings.set_mask), 0), place.tag())
        } else {
            (self.shared_states.get(&subject.shared_set(kind), 0), SHARED_TAG)
        };
        Ok(find_state(&set.context("cannot read a state")?, tag, now))
    }
}

/// The address as people write it; what is IPv4-mapped is IPv4.
pub fn ip(address: &Address) -> IpAddr {
    let [high, low] = address.halves().map(u64::to_ne_bytes);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high);
    bytes[8..].copy_from_slice(&low);
    Ipv6Addr::from(bytes).to_canonical()
}

/// The address as the maps have it.
pub const fn address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(v4) => Address::from_v4(Ipv4Addr::octets(&v4)),
        IpAddr::V6(v6) => Address::from_v6(v6.octets()),
    }
}

/// A name as people write it, from its wire form. What is no plain letter is written as `\DDD`, as in zone files.
pub fn text(host: &HostName) -> String {
    name_text(&host.text[..(host.length as usize).min(host.text.len())])
}

/// The same, from the wire form alone.
pub fn name_text(mut wire: &[u8]) -> String {
    let mut text = String::new();
    while let Some((&length, rest)) = wire.split_first() {
        let length = usize::from(length).min(rest.len());
        if length == 0 {
            break;
        }
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in &rest[..length] {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                0x21..=0x7e => text.push(char::from(byte)),
                _ => {
                    // Writing to a string does not fail.
                    let _ = write!(text, "\\{byte:03}");
                }
            }
        }
        wire = &rest[length..];
    }
    text
}

fn found<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
