//! Any bytes as a DNS answer: no panic, no more addresses than are allowed, and the same again after another message.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use limiter_common::dns::{MAX_RECORDS, Unread, Walk, whole};
use limiter_common::key::Address;
use limiter_common::name::{NameHash, NameSecret};

const SECRET: NameSecret = NameSecret::new([0x1234_5678_9abc, 0xfeed_beef, 0x0bad_cafe, 42]);

type Read = (Option<(NameHash, u32)>, Vec<(Address, u32)>, Result<(), Unread>);

fn read(walk: &mut Walk, message: &[u8]) -> Read {
    let mut addresses = Vec::new();
    // Half of all names are listed, so that the rule that wins is worth comparing.
    let patterns = |key: u64| (key & 1 == 0).then_some(3 + (key >> 1 & 0xff) as u32);
    let asked = whole::question(walk, message, &SECRET, &patterns);
    let end = asked.and_then(|_| whole::records(walk, |record| addresses.push((record.address, record.ttl))));
    (asked.ok().map(|asked| (asked.name, asked.rule)), addresses, end)
}

thread_local! {
    /// Never emptied: what earlier messages left in it must not matter.
    static USED: RefCell<Walk> = const { RefCell::new(Walk::new()) };
}

fuzz_target!(|message: &[u8]| {
    let fresh = read(&mut Walk::new(), message);
    assert!(fresh.1.len() <= MAX_RECORDS as usize);
    assert!(fresh.0.is_some() || fresh.1.is_empty(), "addresses without a name");
    USED.with_borrow_mut(|walk| {
        assert_eq!(read(walk, message), fresh);
        assert_eq!(read(walk, message), fresh);
    });
});
