//! The names that are worth a line of their own, and the others in one sum.
//!
//! Whoever controls a DNS zone makes up names. So there is a bound to how many are told apart, and to how
//! long one is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use limiter_common::name::NameId;
use limiter_common::outbound::tables::HostName;

use crate::bpf::outbound::text;

/// How many names have a line each.
pub const NAMED: usize = 100;
/// Bytes of the longest name in letters that DNS allows (RFC 1035, 2.3.4). What is longer is not all letters.
pub const LONGEST: usize = 253;

/// A name and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name as people write it.
    pub name: String,
    /// The number of its rule.
    pub rule: u32,
    /// Connections to it that were admitted.
    pub allowed: u64,
    /// Connections, queries and packets that it refused.
    pub refused: u64,
}

/// All names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    /// The most refused of them, then the most allowed.
    pub named: Vec<Host>,
    /// How many the others are.
    pub others: u64,
    /// Connections to the others that were admitted.
    pub others_allowed: u64,
    /// Connections, queries and packets that the others refused.
    pub others_refused: u64,
}

/// What decides who has a line, the least worthy first.
type Rank = (u64, u64, Reverse<String>, u32);

/// Picks the names out of all that are shown to it.
#[derive(Debug, Default)]
pub struct Choice {
    best: BinaryHeap<Reverse<Rank>>,
    /// Counts what has no line.
    rest: Hosts,
}

impl Choice {
    /// Shows it one.
    pub fn add(&mut self, id: NameId, host: &HostName) {
        let (counts, rest) = ((host.refused, host.allowed), &mut self.rest);
        let worst = self.best.peek().map(|Reverse((refused, allowed, ..))| (*refused, *allowed));
        // Most names are seen to be out before anybody reads their letters.
        if self.best.len() == NAMED && worst.is_some_and(|worst| counts < worst) {
            return rest.leave_out(host.refused, host.allowed);
        }
        let name = text(host);
        if name.len() > LONGEST {
            return rest.leave_out(host.refused, host.allowed);
        }
        self.best.push(Reverse((host.refused, host.allowed, Reverse(name), id.rule())));
        if self.best.len() > NAMED
            && let Some(Reverse((refused, allowed, ..))) = self.best.pop()
        {
            rest.leave_out(refused, allowed);
        }
    }

    /// What it has picked.
    pub fn finish(self) -> Hosts {
        let named = self.best.into_sorted_vec().into_iter();
        let named = named.map(|Reverse((refused, allowed, Reverse(name), rule))| Host {
            name,
            rule,
            allowed,
            refused,
        });
        Hosts { named: named.collect(), ..self.rest }
    }
}

impl Hosts {
    fn leave_out(&mut self, refused: u64, allowed: u64) {
        self.others += 1;
        self.others_refused += refused;
        self.others_allowed += allowed;
    }
}

#[cfg(test)]
mod tests {
    use limiter_common::name::{NameHash, NameSecret};

    use super::*;

    fn host(label: &[u8], refused: u64, allowed: u64) -> (NameId, HostName) {
        let mut host = HostName { allowed, refused, resolved: 0, length: 0, text: [0; 256] };
        let mut wire = Vec::new();
        for part in label.chunks(63) {
            wire.push(part.len() as u8);
            wire.extend(part);
        }
        host.text[..wire.len()].copy_from_slice(&wire);
        host.length = wire.len() as u64 + 1;
        (NameId::new(1, NameHash::of(&NameSecret::new([1, 2, 3, 4]), [label])), host)
    }

    fn choose(hosts: impl IntoIterator<Item = (NameId, HostName)>) -> Hosts {
        let mut choice = Choice::default();
        hosts.into_iter().for_each(|(id, host)| choice.add(id, &host));
        choice.finish()
    }

    #[test]
    fn the_most_refused_have_a_line_and_the_others_are_a_sum() {
        let number = |i: u64| i * 7919 % 10_000;
        let hosts = choose((0..10_000).map(|i| host(format!("n{}", number(i)).as_bytes(), number(i), 1)));
        let named: Vec<_> = hosts.named.iter().map(|host| (host.name.clone(), host.refused)).collect();
        let best: Vec<_> = (9_900..10_000).rev().map(|i| (format!("n{i}"), i)).collect();
        assert_eq!(named, best);
        assert_eq!((hosts.others, hosts.others_allowed), (9_900, 9_900));
        assert_eq!(hosts.others_refused, (0..9_900_u64).sum::<u64>());
    }

    #[test]
    fn among_equals_the_first_by_name_have_a_line() {
        let hosts = choose((0..1_000).rev().map(|i| host(format!("n{i:03}").as_bytes(), 1, 1)));
        assert_eq!(hosts.named.first().unwrap().name, "n000");
        assert_eq!(hosts.named.last().unwrap().name, "n099");
    }

    #[test]
    fn what_is_too_long_has_no_line_and_pushes_nobody_out() {
        let long = (0..200).map(|i| host(&[&[1; 100][..], &[i]].concat(), 1_000, 5));
        let hosts = choose(long.chain([host(b"short", 1, 1)]));
        assert_eq!(hosts.named.len(), 1);
        assert_eq!((hosts.others, hosts.others_allowed, hosts.others_refused), (200, 1_000, 200_000));
        assert!(hosts.named.iter().all(|host| host.name.len() <= LONGEST));
    }
}
