//! DNS messages, read as the kernel reads them.

use limiter_common::dns::{MAX_MESSAGE, MAX_RECORDS, Unread, Walk, whole};
use limiter_common::key::Address;
use limiter_common::name::{NameHash, NameSecret};
use limiter_common::outbound::DEFAULT_RULE;
use proptest::prelude::*;

const SECRET: NameSecret = NameSecret::new([0x1234_5678_9abc, 0xfeed_beef, 0x0bad_cafe, 42]);

fn hash(name: &str) -> NameHash {
    NameHash::of(&SECRET, name.split('.').map(str::as_bytes).collect::<Vec<_>>())
}

/// A message, byte by byte.
#[derive(Clone)]
struct Message(Vec<u8>);

impl Message {
    fn new(questions: u16, answers: u16) -> Self {
        let [q, a] = [questions, answers].map(u16::to_be_bytes);
        Self([&[0x12, 0x34, 0x81, 0x80], &q[..], &a[..], &[0; 4]].concat())
    }

    fn answer(name: &str, answers: u16) -> Self {
        Self::new(1, answers).name(name).bytes(&[0, 1, 0, 1])
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn name(self, name: &str) -> Self {
        let labels = name.split('.').filter(|label| !label.is_empty());
        labels.fold(self, |m, label| m.bytes(&[label.len() as u8]).bytes(label.as_bytes())).bytes(&[0])
    }

    /// A record whose owner is the name that was asked for.
    fn record(self, kind: u16, class: u16, ttl: u32, data: &[u8]) -> Self {
        self.bytes(&[0xc0, 12]).rest(kind, class, ttl, data)
    }

    fn rest(self, kind: u16, class: u16, ttl: u32, data: &[u8]) -> Self {
        let length = (data.len() as u16).to_be_bytes();
        self.bytes(&kind.to_be_bytes())
            .bytes(&class.to_be_bytes())
            .bytes(&ttl.to_be_bytes())
            .bytes(&length)
            .bytes(data)
    }

    fn a(self, address: [u8; 4]) -> Self {
        self.record(1, 1, 60, &address)
    }

    fn read(&self) -> Read {
        self.read_with(&|_| None)
    }

    fn read_with(&self, patterns: &impl whole::Patterns) -> Read {
        let mut walk = Walk::new();
        let mut addresses = Vec::new();
        let asked = whole::question(&mut walk, &self.0, &SECRET, patterns);
        let end = asked.and_then(|_| whole::records(&mut walk, |r| addresses.push((r.address, r.ttl))));
        Read { name: asked.ok().map(|asked| asked.name), rule: asked.map(|asked| asked.rule), addresses, end }
    }
}

struct Read {
    name: Option<NameHash>,
    rule: Result<u32, Unread>,
    addresses: Vec<(Address, u32)>,
    end: Result<(), Unread>,
}

#[test]
fn every_address_belongs_to_the_name_that_was_asked_for() {
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let read = Message::answer("WWW.Google.com", 5)
        .record(5, 1, 300, b"\x03cdn\x04test\x00") // CNAME
        .bytes(b"\x03cdn\x04test\x00") // an owner that is not compressed
        .rest(1, 1, 60, &[192, 0, 2, 1])
        .record(28, 1, 30, &v6)
        .record(1, 3, 30, &[1, 2, 3, 4]) // another class
        .record(28, 1, 30, &[1, 2, 3, 4]) // an A in an AAAA
        .read();
    assert_eq!(read.end, Ok(()));
    assert_eq!(read.name, Some(hash("www.google.com")), "in lower case");
    assert_eq!(read.addresses, [(Address::from_v4([192, 0, 2, 1]), 60), (Address::from_v6(v6), 30)]);
}

#[test]
fn the_most_specific_rule_wins_and_labels_are_whole() {
    let rules = |key| match key {
        _ if key == hash("com").wildcard_key() => Some(10),
        _ if key == hash("google.com").wildcard_key() => Some(11),
        _ if key == hash("www.google.com").exact_key() => Some(12),
        _ => None,
    };
    for (name, rule) in [
        ("www.google.com", 12),
        ("WWW.GOOGLE.COM", 12),
        ("mail.google.com", 11),
        ("a.b.c.d.google.com", 11),
        ("www.www.google.com", 11),
        ("google.com", 10),
        ("evilgoogle.com", 10),
        ("com", DEFAULT_RULE),
        ("google.com.evil.org", DEFAULT_RULE),
    ] {
        assert_eq!(Message::answer(name, 0).read_with(&rules).rule, Ok(rule), "{name}");
    }
}

#[test]
fn what_cannot_be_read_has_its_reason() {
    let long = (0..63).map(|_| "abc").collect::<Vec<_>>().join("."); // 253 bytes in wire form
    let many = ["a"; 127].join(".");
    for (what, message, end) in [
        ("nothing", Message(vec![]), Err(Unread::Truncated)),
        ("half a header", Message(vec![0; 11]), Err(Unread::Truncated)),
        ("no question", Message::new(0, 1), Err(Unread::NotOneQuestion)),
        ("two questions", Message::new(2, 1).name("a").name("b"), Err(Unread::NotOneQuestion)),
        ("an update", Message([&[0, 0, 0xa8, 0, 0, 1], &[0; 6][..]].concat()), Err(Unread::NotOneQuestion)),
        ("the root", Message::answer("", 0), Err(Unread::BadName)),
        ("a compressed question", Message::new(1, 0).bytes(&[0xc0, 12, 0, 1, 0, 1]), Err(Unread::BadName)),
        ("an unknown label", Message::new(1, 0).bytes(&[0x40, 1, 0, 1, 0, 1]), Err(Unread::BadName)),
        ("the longest name", Message::answer(&long, 0), Ok(())),
        ("a longer name", Message::answer(&format!("{long}.abc"), 0), Err(Unread::BadName)),
        ("the most labels", Message::answer(&many, 0), Ok(())),
        ("no type", Message::new(1, 0).name("a").bytes(&[0, 1]), Err(Unread::Truncated)),
        ("a record less", Message::answer("a", 2).a([1; 4]), Err(Unread::Truncated)),
        (
            "a record that runs over",
            Message::answer("a", 1).bytes(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 5, 1]),
            Err(Unread::Truncated),
        ),
        ("an owner of no kind", Message::answer("a", 1).bytes(&[0x80; 16]), Err(Unread::BadRecord)),
    ] {
        assert_eq!(message.read().end, end, "{what}");
    }
}

#[test]
fn sixty_four_records_are_read_and_no_more() {
    let all = |count: u16| {
        (0..count).fold(Message::answer("a", count), |m, i| m.a([10, 0, (i >> 8) as u8, i as u8]))
    };
    let read = all(64).read();
    assert_eq!((read.end, read.addresses.len()), (Ok(()), 64));
    let read = all(65).read();
    assert_eq!((read.end, read.addresses.len()), (Err(Unread::TooManyRecords), MAX_RECORDS as usize));
    let read = Message::answer("a", 65_535).a([1; 4]).read();
    assert_eq!((read.end, read.addresses.len()), (Err(Unread::Truncated), 1));
}

#[test]
fn owner_names_take_a_bounded_number_of_steps() {
    let owner = ["a"; 127].join(".");
    let endless = (0..15).fold(Message::answer("a", 15), |m, _| m.name(&owner).rest(1, 1, 1, &[1; 4]));
    let read = endless.read();
    assert_eq!(
        (read.end, read.addresses.len()),
        (Err(Unread::TooManyRecords), 2),
        "twice 128 steps, and 64 more"
    );
}

#[test]
fn a_ttl_with_its_highest_bit_is_none() {
    let ttl = |ttl| Message::answer("a", 1).record(1, 1, ttl, &[1; 4]).read().addresses[0].1;
    assert_eq!([ttl(0), ttl(1 << 31), ttl(u32::MAX), ttl(i32::MAX as u32)], [0, 0, 0, i32::MAX as u32]);
}

#[test]
fn a_message_cut_at_any_length_is_read_without_harm() {
    let whole = Message::answer("www.google.com", 3).a([1; 4]).a([2; 4]).record(28, 1, 1, &[3; 16]);
    for length in 0..whole.0.len() {
        let read = Message(whole.0[..length].to_vec()).read();
        assert_eq!(read.end, Err(Unread::Truncated), "{length} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let read = Message(bytes).read();
        prop_assert!(read.addresses.len() <= MAX_RECORDS as usize);
    }

    #[test]
    fn a_mutated_answer_never_gives_more_addresses_than_it_says(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = Message::answer("www.google.com", 3).a([1; 4]).a([2; 4]).record(28, 1, 1, &[3; 16]).0;
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let said = usize::from(u16::from_be_bytes([bytes[6], bytes[7]]));
        prop_assert!(Message(bytes).read().addresses.len() <= said);
    }

    #[test]
    fn what_was_read_before_is_forgotten(first in prop::collection::vec(any::<u8>(), 0..MAX_MESSAGE + 9)) {
        let message = Message::answer("www.google.com", 2).a([1; 4]).a([2; 4]);
        let mut walk = Walk::new();
        if whole::question(&mut walk, &first, &SECRET, &|_| None).is_ok() {
            let _ = whole::records(&mut walk, |_| {});
        }
        let asked = whole::question(&mut walk, &message.0, &SECRET, &|_| None);
        prop_assert_eq!(asked.map(|asked| asked.name), Ok(hash("www.google.com")));
        let mut count = 0;
        prop_assert_eq!(whole::records(&mut walk, |_| count += 1), Ok(()));
        prop_assert_eq!(count, 2);
    }
}
