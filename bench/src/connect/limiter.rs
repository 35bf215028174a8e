//! limiterctl's programs, what they have learned, and what they have counted.

use std::fs::File;
use std::net::Ipv4Addr;
use std::ops::Sub;

use anyhow::{Context as _, ensure};
use aya::maps::{Array, HashMap as Table, PerCpuArray};
use aya::programs::links::FdLink;
use limiter_common::key::Address;
use limiter_common::mapping::Names;
use limiter_common::maps;
use limiter_common::name::NameId;
use limiter_common::outbound::tables::{Event, EventCounters, HostCounters};
use limiter_common::outbound::{DEFAULT_RULE, FIRST_RULE, Kind, Settings, Subject};
use limiter_common::sources::{Set, find_state};
use limiter_tests::cgroup::Cgroup;
use limiter_tests::dns::{A, Data, Reply};
use limiter_tests::wire::monotonic_ns;
use limiter_user::bpf::Programs;
use limiter_user::policy::{OutboundPolicy, Policy};

use super::place::{DNS, MANY, NAME, SPENT};

/// Addresses of one name.
const EACH: u32 = 2;
const TTL: u32 = 3600;
/// The most addresses of one answer.
const ANSWER: usize = 16;

/// The programs with a limit for each name, and a name that may be connected to twice an hour.
pub struct Limiter(Programs);

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Connections and flows that were admitted.
    pub allowed: u64,
    /// Connections and flows that were refused.
    pub refused: u64,
    /// DNS queries that were noted.
    pub queries: u64,
    /// DNS answers that were learned from.
    pub answers: u64,
}

impl Limiter {
    /// Loads them; `limits` are those of each name.
    pub fn new(limits: &str) -> anyhow::Result<Self> {
        Self::with(limits, Vec::new())
    }

    /// The same with so many rules, of which the last lists a name of this address.
    pub fn with_rules(limits: &str, count: u32, address: Ipv4Addr) -> anyhow::Result<Self> {
        let name = |number| format!("r{number}.bench.test");
        // The name that may be connected to twice an hour has the first.
        let rules = (1..count).map(|number| format!("{} = {limits}", name(number)));
        let mut limiter = Self::with(limits, rules.collect())?;
        limiter.teach(&name(count - 1), [address])?;
        let listed: Table<_, Address, Names> = limiter.0.map(maps::LISTED).try_into()?;
        listed.get(&Address::from_v4(address.octets()), 0).context("the last rule lists no address")?;
        Ok(limiter)
    }

    fn with(limits: &str, more: Vec<String>) -> anyhow::Result<Self> {
        let rules = ["spent.test = 1/h burst 2".to_owned()].into_iter().chain(more);
        let outbound = OutboundPolicy {
            default: Some(limits.parse()?),
            rules: rules.map(|rule| rule.parse()).collect::<Result<_, _>>()?,
            exempt: vec![DNS.to_string().parse()?],
            ..OutboundPolicy::default()
        };
        let policy = Policy { outbound: Some(outbound), ..Policy::default() };
        let mut limiter = Self(Programs::load(&policy.entries()?, 8)?);
        limiter.teach("spent.test", [SPENT.first])?;
        Ok(limiter)
    }

    /// Lets them learn the names of [`MANY`] addresses.
    pub fn learn(&mut self) -> anyhow::Result<()> {
        self.learn_names(MANY.count / EACH, EACH)
    }

    /// Lets them learn so many names with so many addresses each, which are [`MANY`]'s.
    pub fn learn_names(&mut self, names: u32, each: u32) -> anyhow::Result<()> {
        let (before, count) = (self.event(Event::AddressLearned)?, names * each);
        for name in 0..names {
            for first in (0..each).step_by(ANSWER) {
                let numbers = first..each.min(first + ANSWER as u32);
                let addresses = numbers.map(|number| MANY.get(name * each + number));
                self.teach(&format!("n{name}.bench.test"), addresses)?;
            }
        }
        let learned = self.event(Event::AddressLearned)? - before;
        ensure!(learned == u64::from(count), "{learned} addresses were learned of {count}");
        for address in (0..count).map(|number| MANY.get(number)) {
            self.name(address)?;
        }
        Ok(())
    }

    fn teach(&mut self, name: &str, addresses: impl IntoIterator<Item = Ipv4Addr>) -> anyhow::Result<()> {
        let reply = |reply: Reply, address: Ipv4Addr| reply.record(name, TTL, Data::Address(address.into()));
        self.0.teach_answer(&addresses.into_iter().fold(answer(name), reply).build())
    }

    /// Limits a cgroup for as long as the links live. They are pinned nowhere, and so end with the bench at the latest.
    pub fn attach(&mut self, cgroup: &Cgroup) -> anyhow::Result<Vec<(String, FdLink)>> {
        self.0.attach_to_cgroup(&File::open(cgroup.path())?)
    }

    /// The programs.
    pub const fn programs(&mut self) -> &mut Programs {
        &mut self.0
    }

    /// What was counted so far.
    pub fn counted(&self) -> anyhow::Result<Counted> {
        let rules: PerCpuArray<_, HostCounters> = self.0.map(maps::HOST_COUNTERS).try_into()?;
        let mut counted = Counted {
            queries: self.event(Event::Query)?,
            answers: self.event(Event::Answer)?,
            ..Counted::default()
        };
        for rule in [DEFAULT_RULE, FIRST_RULE] {
            for cpu in rules.get(&rule, 0)?.iter() {
                counted.allowed += cpu.allowed;
                counted.refused += cpu.refused.iter().sum::<u64>();
            }
        }
        Ok(counted)
    }

    fn event(&self, event: Event) -> anyhow::Result<u64> {
        let events: PerCpuArray<_, EventCounters> = self.0.map(maps::EVENTS).try_into()?;
        Ok(events.get(&0, 0)?.iter().map(|cpu| cpu.0[event as usize]).sum())
    }

    /// The only name of an address.
    fn name(&self, address: Ipv4Addr) -> anyhow::Result<NameId> {
        let names: Table<_, Address, Names> = self.0.map(maps::UNLISTED).try_into()?;
        let names = names.get(&Address::from_v4(address.octets()), 0);
        let names = names.with_context(|| format!("{address} has no name"))?;
        ensure!(names.ids[1] == 0, "{address} has several names");
        NameId::from_bits(names.ids[0]).context("a name without a number")
    }

    /// Whether what was sent to an address since a time was held against its limits on packets and on bytes.
    pub fn has_weighed(&self, address: Ipv4Addr, since: u64) -> anyhow::Result<bool> {
        let settings: Array<_, Settings> = self.0.map(maps::SETTINGS).try_into()?;
        let (settings, subject) = (settings.get(&0, 0)?, Subject::name(self.name(address)?));
        let states: Array<_, Set> = self.0.map(maps::STATES).try_into()?;
        for kind in [Kind::Packets, Kind::Bytes] {
            let place = subject.place(&settings.places, kind);
            let set = states.get(&place.set(settings.set_mask), 0)?;
            let state = find_state(&set, place.tag(), monotonic_ns());
            // Whatever is charged brings the time of the state to the present at least.
            if state.is_none_or(|state| state.bits() < since) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Sub for Counted {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            allowed: self.allowed - before.allowed,
            refused: self.refused - before.refused,
            queries: self.queries - before.queries,
            answers: self.answers - before.answers,
        }
    }
}

/// As most answers are: an alias, and the addresses behind it.
pub fn usual_answer() -> Vec<u8> {
    const EDGE: &str = "edge.bench.test";
    let address = |address: &str| Data::Address(address.parse().expect("an address"));
    answer(NAME)
        .record(NAME, TTL, Data::Alias(EDGE.into()))
        .record(EDGE, TTL, address("10.65.0.1"))
        .record(EDGE, TTL, address("2001:db8::1"))
        .build()
}

fn answer(name: &str) -> Reply {
    Reply {
        id: 1,
        name: name.into(),
        kind: A,
        code: 0,
        truncated: false,
        records: Vec::new(),
        edns: None,
        compressed: true,
    }
}
