//! What is found and what is not, in lists of a model.

use std::collections::HashMap;

use super::*;

const NOW: u64 = 1000;

/// As user space keeps it.
#[derive(Default)]
struct Model {
    entries: HashMap<(u32, u32, Address), Entry>,
    lengths: HashMap<(u32, usize), u64>,
}

impl Model {
    fn add(&mut self, scope: u32, network: Address, length: u32, v6: bool, entry: Entry) {
        self.entries.insert((scope, length, network), entry);
        let (word, bit) = bit(length, v6);
        *self.lengths.entry((scope, word)).or_default() |= 1 << bit;
    }
}

impl Lists for Model {
    fn lengths(&self, scope: u32, word: usize) -> u64 {
        self.lengths.get(&(scope, word)).copied().unwrap_or(0)
    }

    fn entry(&self, scope: u32, length: u32, network: &Address) -> Option<Entry> {
        self.entries.get(&(scope, length, *network)).copied()
    }
}

const fn denied(until: u64) -> Entry {
    Entry { allowed_until: 0, denied_until: until }
}

const fn allowed(until: u64) -> Entry {
    Entry { allowed_until: until, denied_until: 0 }
}

fn v4(a: [u8; 4]) -> Address {
    Address::from_v4(a)
}

#[test]
fn prefixes_of_every_length_are_found_and_their_neighbours_are_not() {
    let source = 0x2001_0db8_1234_5678_9abc_def0_1357_9bdf_u128;
    for length in 0..=128u32 {
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let mut lists = Model::default();
        lists.add(3, Address::from_v6((source & mask).to_be_bytes()), length, true, denied(FOREVER));
        let find = |address: u128| find(&lists, 3, &Address::from_v6(address.to_be_bytes()), true, NOW);
        assert_eq!(find(source), Some(Listed::Denied), "/{length}");
        if length > 0 {
            assert_eq!(find(source ^ 1 << (128 - length)), None, "/{length}");
        }
    }
    for length in 0..=32u32 {
        let (source, mask) = (0xc633_6407_u32, u32::MAX.checked_shl(32 - length).unwrap_or(0));
        let mut lists = Model::default();
        lists.add(0, v4((source & mask).to_be_bytes()), 96 + length, false, denied(FOREVER));
        let find = |address: u32| find(&lists, 0, &v4(address.to_be_bytes()), false, NOW);
        assert_eq!(find(source), Some(Listed::Denied), "/{length}");
        if length > 0 {
            assert_eq!(find(source ^ 1 << (32 - length)), None, "/{length}");
        }
    }
}

#[test]
fn what_allows_wins_whichever_is_longer() {
    for (allow, deny) in [(24, 16), (16, 24)] {
        let mut lists = Model::default();
        let net = |length: u32| v4([198, 51, if length == 24 { 100 } else { 0 }, 0]);
        lists.add(0, net(allow), 96 + allow, false, allowed(FOREVER));
        lists.add(0, net(deny), 96 + deny, false, denied(FOREVER));
        assert_eq!(find(&lists, 0, &v4([198, 51, 100, 7]), false, NOW), Some(Listed::Allowed));
        let outside = if allow == 24 { Some(Listed::Denied) } else { Some(Listed::Allowed) };
        assert_eq!(find(&lists, 0, &v4([198, 51, 101, 7]), false, NOW), outside);
    }
}

#[test]
fn an_entry_ends_at_its_time() {
    let mut lists = Model::default();
    lists.add(0, v4([198, 51, 100, 7]), 128, false, denied(NOW));
    let find = |now| find(&lists, 0, &v4([198, 51, 100, 7]), false, now);
    assert_eq!((find(NOW - 1), find(NOW)), (Some(Listed::Denied), None));
}

#[test]
fn a_scope_holds_for_itself_and_families_are_apart() {
    let mut lists = Model::default();
    lists.add(0, Address::from_v6([0; 16]), 0, true, denied(FOREVER));
    assert_eq!(find(&lists, 0, &v4([198, 51, 100, 7]), false, NOW), None, "::/0 is IPv6");
    assert_eq!(find(&lists, 1, &Address::from_v6([1; 16]), true, NOW), None, "another scope");
}

#[test]
fn an_ipv4_block_is_a_24() {
    assert_eq!(block(&v4([1, 2, 3, 4]), false), 0x01_02_03);
    assert_eq!(block(&v4([255, 255, 255, 255]), false), BLOCKS - 1);
    assert!(block(&Address::from_v6([0xff; 16]), true) < BLOCKS);
}
