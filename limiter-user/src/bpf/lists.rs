//! The lists of prefixes, as the kernel reads them.
//!
//! Whoever changes them holds the lock of [`Lists::open`]; packets are judged meanwhile. An entry is written before the
//! bits that lead to it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use aya::maps::{HashMap, Map, MapData};
use limiter_common::key::Address;
use limiter_common::lists::{
    self, BLOCK_V4, BLOCK_V6, BLOCKS, BROAD, Entry, GENERATIONS, Key, LENGTHS, SCOPES,
};
use limiter_common::maps;
use nix::fcntl::{Flock, FlockArg};

use super::Pins;
use super::outbound::ip;
use super::words::Words;
use crate::clock;
use crate::config::network::Network;
use crate::failure::Failure;

type Entries = std::collections::HashMap<Key, Entry>;

/// No packet is judged for as long as this.
const ONE_PACKET: Duration = Duration::from_millis(20);
const LOCK: &str = "/run/limiterctl/lists.lock";

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Its sources pass.
    Allow,
    /// Its sources are refused.
    Deny,
}

/// A prefix on one of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The prefix.
    pub network: Network,
    /// The number of the rule that it holds for; 0 for every rule.
    pub scope: u32,
    /// Until when, in nanoseconds of `CLOCK_MONOTONIC`; [`lists::FOREVER`] for ever.
    pub until: u64,
}

/// The lists of what is attached.
pub struct Lists {
    entries: HashMap<MapData, Key, Entry>,
    lengths: Words,
    blocks: Words,
    /// Which generation holds, 0 for none; then for each, whether it is broad.
    state: Words,
    _lock: Flock<File>,
}

impl Lists {
    /// Opens the pinned maps, and waits until nobody else changes them.
    ///
    /// # Errors
    ///
    /// Where nothing is pinned.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(LOCK);
        let file = file.with_context(|| format!("cannot open {LOCK}"))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        let map = |name| Words::map(&pins.map(name)?, name);
        Ok(Self {
            entries: Map::HashMap(pins.map(maps::PREFIXES)?).try_into()?,
            lengths: map(maps::PREFIX_LENGTHS)?,
            blocks: map(maps::PREFIX_BLOCKS)?,
            state: map(maps::PREFIX_STATE)?,
            _lock: lock.with_context(|| format!("cannot lock {LOCK}"))?,
        })
    }

    /// What is on a list now.
    pub fn read(&self, list: List) -> Vec<Listed> {
        let now = clock::now();
        let listed = self.generation(self.current()).filter_map(|(key, entry)| {
            let until = *list.until(&mut entry.clone());
            let network = Network::from_mapped(ip(&key.network), key.length)?;
            (until > now).then_some(Listed { network, scope: key.scope.into(), until })
        });
        listed.collect()
    }

    /// Adds prefixes, or gives them another end.
    ///
    /// # Errors
    ///
    /// No room for them. None of them is added then.
    pub fn add(&mut self, list: List, prefixes: &[Listed]) -> anyhow::Result<()> {
        let generation = self.current();
        self.drop_what_is_over(generation)?;
        let number = if generation == 0 { 1 } else { generation };
        let known = self.generation(generation).count();
        check_room(known + prefixes.len())?;
        for listed in prefixes {
            self.put(number, list, listed)?;
        }
        self.hold(number);
        Ok(())
    }

    /// Takes prefixes off a list; says how many were on it.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn remove(&mut self, list: List, scope: u32, networks: &[Network]) -> anyhow::Result<usize> {
        let (now, mut removed) = (clock::now(), 0);
        for network in networks {
            let key = key(self.current(), scope, *network);
            let Ok(mut entry) = self.entries.get(&key, 0) else { continue };
            let until = list.until(&mut entry);
            if *until > now {
                *until = 0;
                self.write(&key, entry, now)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Makes these the prefixes that a list has in a scope, in one step: a packet meets the old ones or the new ones.
    ///
    /// # Errors
    ///
    /// No room for them. The list stays as it was then.
    pub fn replace(&mut self, list: List, scope: u32, prefixes: &[Listed]) -> anyhow::Result<()> {
        let (old, now) = (self.current(), clock::now());
        let new = if old == 1 { 2 } else { 1 };
        self.empty(new)?;
        let mut entries = Entries::new();
        for (key, mut entry) in self.generation(old) {
            if u32::from(key.scope) == scope {
                *list.until(&mut entry) = 0;
            }
            if !is_over(&entry, now) {
                entries.insert(Key { generation: new, ..key }, entry);
            }
        }
        for listed in prefixes {
            *list.until(entries.entry(key(new, listed.scope, listed.network)).or_default()) = listed.until;
        }
        check_room(entries.len())?;
        for (key, entry) in &entries {
            self.insert(key, *entry)?;
        }
        self.hold(new);
        thread::sleep(ONE_PACKET);
        if old == 0 { Ok(()) } else { self.empty(old) }
    }

    fn current(&self) -> u16 {
        self.state.all()[0].load(Ordering::Acquire) as u16
    }

    fn hold(&self, generation: u16) {
        self.state.all()[0].store(generation.into(), Ordering::Release);
    }

    fn generation(&self, number: u16) -> impl Iterator<Item = (Key, Entry)> {
        self.entries.iter().filter_map(Result::ok).filter(move |(key, _)| key.generation == number)
    }

    /// Puts a prefix on a list; it stays on the other one if it is there.
    fn put(&mut self, generation: u16, list: List, listed: &Listed) -> anyhow::Result<()> {
        let key = key(generation, listed.scope, listed.network);
        let mut entry = self.entries.get(&key, 0).unwrap_or_default();
        *list.until(&mut entry) = listed.until;
        self.insert(&key, entry)
    }

    fn insert(&mut self, key: &Key, entry: Entry) -> anyhow::Result<()> {
        self.entries.insert(key, entry, 0).context("cannot write a prefix")?;
        let first = usize::from(key.generation) - 1;
        let v6 = ip(&key.network).is_ipv6();
        if v6 && key.length < BROAD {
            self.state.all()[usize::from(key.generation)].store(1, Ordering::Release);
        } else {
            self.mark_blocks(first, key, v6);
        }
        let (word, bit) = lists::bit(key.length, v6);
        let scope = first * SCOPES as usize + usize::from(key.scope);
        self.lengths.all()[scope * LENGTHS + word].fetch_or(1 << bit, Ordering::Release);
        Ok(())
    }

    fn mark_blocks(&self, generation: usize, key: &Key, v6: bool) {
        const WORDS: usize = (BLOCKS / u64::BITS) as usize;

        let words = key.network.words();
        let (first, length, whole) =
            if v6 { (words[0], key.length, BLOCK_V6) } else { (words[3] >> 8, key.length - 96, BLOCK_V4) };
        let count = 1u32 << whole.saturating_sub(length);
        for number in first..=first + (count - 1) {
            let block = if v6 { lists::block(&Address::from_words([number, 0, 0, 0]), true) } else { number };
            let word = generation * WORDS + (block / u64::BITS) as usize;
            self.blocks.all()[word].fetch_or(1 << (block % u64::BITS), Ordering::Release);
        }
    }

    fn drop_what_is_over(&mut self, generation: u16) -> anyhow::Result<()> {
        let now = clock::now();
        let over: Vec<_> = self.generation(generation).filter(|(_, entry)| is_over(entry, now)).collect();
        over.into_iter().try_for_each(|(key, entry)| self.write(&key, entry, now))
    }

    /// Writes an entry, or removes it where it is over.
    fn write(&mut self, key: &Key, entry: Entry, now: u64) -> anyhow::Result<()> {
        if is_over(&entry, now) {
            self.entries.remove(key).context("cannot remove a prefix")
        } else {
            self.entries.insert(key, entry, 0).context("cannot write a prefix")
        }
    }

    /// Empties a generation that does not hold.
    fn empty(&mut self, generation: u16) -> anyhow::Result<()> {
        let keys = self.entries.keys().filter_map(Result::ok);
        let keys: Vec<_> = keys.filter(|key| key.generation == generation).collect();
        for key in keys {
            self.entries.remove(&key).context("cannot remove a prefix")?;
        }
        let first = usize::from(generation) - 1;
        for words in [&self.lengths, &self.blocks] {
            let count = words.all().len() / GENERATIONS as usize;
            words.all()[first * count..][..count].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        self.state.all()[usize::from(generation)].store(0, Ordering::Relaxed);
        Ok(())
    }
}

impl List {
    const fn until(self, entry: &mut Entry) -> &mut u64 {
        match self {
            Self::Allow => &mut entry.allowed_until,
            Self::Deny => &mut entry.denied_until,
        }
    }
}

fn key(generation: u16, scope: u32, network: Network) -> Key {
    let (network, length) = network.mapped();
    Key { generation, scope: scope as u16, length, network }
}

fn check_room(wanted: usize) -> Result<(), Failure> {
    if wanted <= maps::MAX_PREFIXES as usize {
        return Ok(());
    }
    Err(Failure::new(
        format!("{wanted} prefixes are too many"),
        format!(
            "{} are the most, on all lists together; join neighbours to shorter prefixes",
            maps::MAX_PREFIXES
        ),
    ))
}

const fn is_over(entry: &Entry, now: u64) -> bool {
    entry.allowed_until <= now && entry.denied_until <= now
}
