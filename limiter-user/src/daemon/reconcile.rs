//! Compares the counts of open connections with the kernel's list of sockets, so that a lost event heals.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use limiter_common::maps::MAX_RULES;
use limiter_common::open::{Correction, Count, EventCounters, Key};
use tokio::time::sleep;

use crate::bpf::open::OpenTables;
use crate::bpf::outbound::address;
use crate::bpf::{Pins, Programs};
use crate::clock;
use crate::policy::Entries;
use crate::sockets::Sockets;

/// How long a difference must last to be one. An event and the socket's own state change nanoseconds apart, and the
/// kernel may list a socket twice, or not at all, while others come and go.
const SETTLE: Duration = Duration::from_millis(20);

/// How many times it is left out where nothing was open and no event is counted: there is nothing to heal then but
/// what was lost without a trace.
const RESTS: u32 = 14;

/// Keeps the counts right.
pub struct Reconciler {
    tables: OpenTables,
    entries: Entries,
    /// Ports on which something has listened: connections outlive their listener.
    listened: HashSet<u16>,
    /// Whether it has been said that the last comparison failed.
    failed: bool,
    /// How many times it is left out from now on, as long as this is what the kernel counted.
    rests: u32,
    seen: EventCounters,
}

impl Reconciler {
    /// How often to do it.
    pub const EVERY: Duration = Duration::from_secs(2);

    /// For rules of which one at least limits open connections; `None` where none does.
    ///
    /// # Errors
    ///
    /// Where the maps are not there.
    pub fn new(entries: &Entries, pins: &Pins) -> anyhow::Result<Option<Self>> {
        if !entries.watch_handshakes() {
            return Ok(None);
        }
        let (tables, listened) = (OpenTables::pinned(pins)?, HashSet::new());
        let (entries, seen) = (entries.clone(), EventCounters::default());
        Ok(Some(Self { tables, entries, listened, failed: false, rests: 0, seen }))
    }

    /// Heals what was lost. Where that fails the limits go on as they are, and it is said once.
    pub async fn keep(&mut self, programs: &mut Programs) {
        if self.rests > 0 && self.tables.events().is_ok_and(|events| events == self.seen) {
            self.rests -= 1;
            return;
        }
        let result = self.reconcile(programs, true).await;
        if let (Err(error), false) = (&result, self.failed) {
            eprintln!("limiterctl: open connections are not compared with the kernel's sockets: {error:#}");
        }
        self.failed = result.is_err();
    }

    /// Corrects what differs, and has not changed meanwhile. `healing` says whether that is worth a count: what was
    /// open before anybody counted is not.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub async fn reconcile(&mut self, programs: &mut Programs, healing: bool) -> anyhow::Result<()> {
        let seed = clock::now() as u32;
        let first = self.differences(seed, healing)?;
        if first.is_empty() {
            return Ok(());
        }
        sleep(SETTLE).await;
        let first: HashMap<_, _> = first.into_iter().map(|wrong| (wrong.key, wrong)).collect();
        for wrong in self.differences(seed, healing)? {
            if first.get(&wrong.key) == Some(&wrong) {
                // Where the count has changed, the next round looks at it.
                programs.correct(&wrong)?;
            }
        }
        Ok(())
    }

    /// Counts are read before sockets: one that still is the same afterwards has been so all the while.
    fn differences(&mut self, seed: u32, healing: bool) -> anyhow::Result<Vec<Correction>> {
        self.seen = self.tables.events()?;
        let counts = self.tables.counts();
        let sockets = Sockets::read()?;
        self.listened.extend(&sockets.listening);
        let held = held(&self.entries, &self.listened, &sockets);
        self.rests = if counts.is_empty() && held.is_empty() { RESTS } else { 0 };
        Ok(corrections(&counts, &held, seed, healing))
    }
}

/// How many connections each source holds, to ports whose rule limits them.
fn held(entries: &Entries, listened: &HashSet<u16>, sockets: &Sockets) -> HashMap<Key, u32> {
    let mut held = HashMap::new();
    let mut rules = vec![None; MAX_RULES as usize];
    for (number, rule) in entries.rules.iter().filter(|(_, rule)| rule.watches_handshakes()) {
        rules[*number as usize] = Some(rule);
    }
    for (port, remote) in &sockets.connections {
        let number = entries.rule_of(*port);
        if let Some(rule) = rules[number as usize]
            && listened.contains(port)
        {
            let address = address(*remote);
            let source = address.masked(rule.mask(address.is_v6()));
            *held.entry(Key { rule: number, reserved: 0, source }).or_default() += 1;
        }
    }
    held
}

/// What is to be written where counts and sockets differ. A new count starts at `seed`.
fn corrections(
    counts: &HashMap<Key, u64>,
    held: &HashMap<Key, u32>,
    seed: u32,
    healing: bool,
) -> Vec<Correction> {
    let counted = healing.into();
    let known = counts.iter().filter_map(|(key, &expected)| {
        let (count, open) = (Count::from_bits(expected), held.get(key).copied().unwrap_or(0));
        let next = count.changed_to(open).bits();
        // One without connections is of no use to anybody.
        (count.open() != open || open == 0).then_some(Correction { key: *key, expected, next, counted })
    });
    let unknown = held.iter().filter(|(key, _)| !counts.contains_key(key)).map(|(key, &open)| Correction {
        key: *key,
        expected: Correction::ABSENT,
        next: Count::none(seed).changed_to(open).bits(),
        counted,
    });
    known.chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use limiter_common::key::Address;

    use super::*;

    fn key(last: u8) -> Key {
        Key { rule: 1, reserved: 0, source: Address::from_v4([192, 0, 2, last]) }
    }

    fn word(open: u32) -> u64 {
        Count::none(7).changed_to(open).bits()
    }

    #[test]
    fn what_agrees_is_left_alone_and_what_differs_is_corrected() {
        let counts = [(key(1), word(3)), (key(2), word(5)), (key(3), word(1))].into();
        let held = [(key(1), 3), (key(2), 4), (key(4), 2)].into();
        let mut wrong = corrections(&counts, &held, 9, true);
        wrong.sort_by_key(|wrong| wrong.key.source.words());
        let open: Vec<_> = wrong
            .iter()
            .map(|wrong| (wrong.key, wrong.expected, Count::from_bits(wrong.next).open()))
            .collect();
        assert_eq!(open, [(key(2), word(5), 4), (key(3), word(1), 0), (key(4), Correction::ABSENT, 2)]);
        assert!(wrong.iter().all(|wrong| wrong.counted == 1 && wrong.next != wrong.expected));
    }
}
