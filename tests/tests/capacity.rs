//! A million names and a hundred thousand addresses: memory stays as it was made, and what does not fit is counted.

use std::collections::BTreeMap;

use limiter_common::dns::Unread;
use limiter_common::mapping::NAMES;
use limiter_common::maps::{HOSTS, MAX_HOSTS, QUERIES, STATES, UNLISTED};
use limiter_common::outbound::tables::Event;
use limiter_tests::bpf;
use limiter_tests::net::Sandbox;
use limiter_user::bpf::{HostTables, Pins, Programs};
use limiter_user::policy::{OutboundPolicy, Policy};

const DISTINCT_NAMES: u32 = 1_000_000;
const ADDRESSES: u32 = 100_000;

/// Bytes that the kernel has set aside for each of these maps.
fn memory(programs: &Programs) -> BTreeMap<&'static str, u64> {
    let usage = |name: &'static str| {
        let data = match programs.map(name) {
            aya::maps::Map::Array(data) | aya::maps::Map::LruHashMap(data) => data,
            other => panic!("{name} is {other:?}"),
        };
        (name, bpf::memory(data.fd()))
    };
    [HOSTS, UNLISTED, STATES, QUERIES].map(usage).into()
}

/// An answer with one address, as short as it can be.
fn answer(name: &str, address: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, name.len() as u8];
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(b"\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04");
    message.extend_from_slice(&address);
    message
}

#[test]
fn a_million_names_on_a_hundred_thousand_addresses_change_no_maps_size() {
    Sandbox::new().run(|| {
        let outbound =
            OutboundPolicy { default: Some("10/s".parse().expect("limits")), ..OutboundPolicy::default() };
        let policy = Policy { outbound: Some(outbound), ..Policy::default() };
        let mut programs = Programs::load(&policy.entries().expect("a policy"), 8).expect("it loads");
        let pins = Pins::locate();
        pins.create().expect("a BPF file system");
        pins.pin_maps(programs.maps()).expect("maps can be pinned");
        let tables = HostTables::pinned(&pins).expect("they are there");
        let before = memory(&programs);

        for i in 0..DISTINCT_NAMES {
            let address = (0x0a00_0000 + i % ADDRESSES).to_be_bytes();
            programs.teach_answer(&answer(&format!("n{i}"), address)).expect("it learns");
        }

        assert_eq!(memory(&programs), before);
        println!("bytes of kernel memory: {before:?}");
        let events = tables.events().expect("it can be read");
        let unread = tables.unread().expect("it can be read");
        let (names, addresses) = (tables.hosts().count() as u64, tables.addresses().count() as u64);
        println!("{names} names and {addresses} addresses are known");
        assert_eq!(events.0[Event::NameLearned as usize], u64::from(DISTINCT_NAMES));
        assert!(names <= u64::from(MAX_HOSTS) && names > u64::from(MAX_HOSTS) * 9 / 10, "{names} names");
        assert_eq!(addresses, u64::from(ADDRESSES), "the table has room for all of them");
        let kept = u64::from(ADDRESSES) * NAMES as u64;
        assert_eq!(events.0[Event::AddressLearned as usize], u64::from(ADDRESSES));
        assert_eq!(events.0[Event::Mapped as usize], kept);
        assert_eq!(unread.0[Unread::NamesFull as usize], u64::from(DISTINCT_NAMES) - kept);
        assert_eq!(unread.0.iter().sum::<u64>(), u64::from(DISTINCT_NAMES) - kept, "nothing else was lost");
        pins.remove().expect("they can be removed");
    });
}
