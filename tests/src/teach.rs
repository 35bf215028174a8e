//! The program that learns from DNS answers, without a network (`BPF_PROG_TEST_RUN`), and its tables.

mod model;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use aya::maps::{Array, HashMap as Table, Map, MapData, PerCpuArray};
use aya::programs::{TestRun as _, TestRunOptions};
use limiter_common::dns::Unread;
use limiter_common::key::Address;
use limiter_common::mapping::{NAMES, Names};
use limiter_common::maps;
use limiter_common::outbound::Settings;
use limiter_common::outbound::tables::{Event, EventCounters, HostName, UnreadCounters};
use limiter_user::bpf::Programs;
use limiter_user::policy::{OutboundPolicy, Policy};

use crate::wire::monotonic_ns;
pub use model::{Known, Model};

/// What is counted: events, and reasons for what is not understood.
pub type Counted = ([u64; Event::ALL.len()], [u64; Unread::ALL.len()]);

/// The outbound programs, attached to nothing.
pub struct Teacher {
    programs: Programs,
}

impl Teacher {
    /// Loads them with limits on these names, as `--host` takes them, and one on all others.
    pub fn load(hosts: &[&str]) -> Self {
        let outbound = OutboundPolicy {
            default: Some("10/s burst 10".parse().expect("limits")),
            rules: hosts.iter().map(|host| host.parse().expect("a rule")).collect(),
            ..OutboundPolicy::default()
        };
        let policy = Policy { outbound: Some(outbound), ..Policy::default() };
        let entries = policy.entries().expect("the policy is good");
        Self { programs: Programs::load(&entries, 4096).unwrap_or_else(|error| panic!("{error:?}")) }
    }

    /// A model that has the same secret and the same rules, and has learned nothing.
    pub fn model(&self) -> Model {
        let settings: Array<_, Settings> = self.programs.map(maps::SETTINGS).try_into().expect("an array");
        let patterns: Table<_, u64, u32> = self.programs.map(maps::PATTERNS).try_into().expect("a hash");
        Model::new(settings.get(&0, 0).expect("there is one").names, all(&patterns))
    }

    /// Shows the kernel one message; says between which two times it learned from it.
    #[track_caller]
    pub fn teach(&mut self, message: &[u8]) -> [u64; 2] {
        let before = monotonic_ns();
        self.programs.teach_answer(message).unwrap_or_else(|error| panic!("{error:?}"));
        [before, monotonic_ns()]
    }

    /// How long the kernel takes for a message that it has learned from before; the least of several averages.
    pub fn time(&mut self, message: &[u8]) -> Duration {
        const RUNS: u32 = 25;
        const REPEAT: u32 = 1000;
        let frame = [&[0; 14], message].concat();
        let mut average = || {
            let options = TestRunOptions { data_in: Some(&frame), repeat: REPEAT, ..TestRunOptions::new() };
            self.programs.teach().test_run(options).expect("the program runs").duration
        };
        (0..RUNS).map(|_| average()).min().expect("several runs")
    }

    /// What all CPUs have counted.
    pub fn counted(&self) -> Counted {
        let events: PerCpuArray<_, EventCounters> =
            self.programs.map(maps::EVENTS).try_into().expect("an array");
        let unread: PerCpuArray<_, UnreadCounters> =
            self.programs.map(maps::UNREAD).try_into().expect("an array");
        let events = events.get(&0, 0).expect("there is one");
        let unread = unread.get(&0, 0).expect("there is one");
        (sum(events.iter().map(|cpu| cpu.0)), sum(unread.iter().map(|cpu| cpu.0)))
    }

    /// The names of an address, as they are listed by rules or not.
    pub fn names(&self, address: &Address, listed: bool) -> Option<Names> {
        let map = if listed { maps::LISTED } else { maps::UNLISTED };
        let table: Table<_, Address, Names> = self.programs.map(map).try_into().expect("a hash");
        table.get(address, 0).ok()
    }

    /// All addresses of listed names, or of others.
    pub fn addresses(&self, listed: bool) -> HashMap<Address, Names> {
        let map = if listed { maps::LISTED } else { maps::UNLISTED };
        let table: Table<&MapData, Address, Names> = self.programs.map(map).try_into().expect("a hash");
        all(&table)
    }

    /// All names, by their ids.
    pub fn hosts(&self) -> HashMap<u64, HostName> {
        let table: Table<&MapData, u64, HostName> =
            self.programs.map(maps::HOSTS).try_into().expect("a hash");
        all(&table)
    }

    /// Forgets all addresses and names.
    pub fn forget(&mut self) {
        let (listed, unlisted, hosts) = (self.addresses(true), self.addresses(false), self.hosts());
        clear::<_, Names>(self.programs.map_mut(maps::LISTED), listed.keys());
        clear::<_, Names>(self.programs.map_mut(maps::UNLISTED), unlisted.keys());
        clear::<_, HostName>(self.programs.map_mut(maps::HOSTS), hosts.keys());
    }

    /// The programs and their maps.
    pub const fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }
}

/// The names that there are, with the times until which they are kept, in the order of their places.
pub fn kept(names: &Names) -> impl Iterator<Item = (u64, u64)> {
    (0..NAMES).map(|place| (names.ids[place], names.until[place])).filter(|(id, _)| *id != 0)
}

fn all<K: aya::Pod + Eq + Hash, V: aya::Pod>(table: &Table<&MapData, K, V>) -> HashMap<K, V> {
    table.iter().map(|entry| entry.expect("nobody else changes it")).collect()
}

fn clear<'a, K: aya::Pod + 'a, V: aya::Pod>(map: &mut Map, keys: impl Iterator<Item = &'a K>) {
    let mut table: Table<_, K, V> = map.try_into().expect("a hash");
    for key in keys {
        table.remove(key).expect("it is there");
    }
}

fn sum<const N: usize>(cpus: impl Iterator<Item = [u64; N]>) -> [u64; N] {
    cpus.fold([0; N], |sum, cpu| std::array::from_fn(|i| sum[i] + cpu[i]))
}
