//! Each answer of the corpus is read as it was built, and mutants of them without harm.

#[path = "corpus/mod.rs"]
mod corpus;

use corpus::mutate::{Random, mutant};
use limiter_common::dns::{MAX_RECORDS, Unread, Walk, whole};
use limiter_common::key::Address;
use limiter_common::name::{NameHash, NameSecret};
use proptest::prelude::*;

const SECRET: NameSecret = NameSecret::new([0x1234_5678_9abc, 0xfeed_beef, 0x0bad_cafe, 42]);

type Read = (Option<NameHash>, Vec<(Address, u32)>, Result<(), Unread>);

fn read(walk: &mut Walk, message: &[u8]) -> Read {
    let mut addresses = Vec::new();
    let asked = whole::question(walk, message, &SECRET, &|_| None);
    let end = asked.and_then(|_| whole::records(walk, |record| addresses.push((record.address, record.ttl))));
    (asked.ok().map(|asked| asked.name), addresses, end)
}

#[test]
fn every_answer_is_read_as_it_was_built() {
    for seed in corpus::seeds() {
        let (_, addresses, end) = read(&mut Walk::new(), &seed.message);
        assert_eq!(end, seed.end, "{}", seed.what);
        assert_eq!(addresses, seed.addresses, "{}", seed.what);
    }
}

#[test]
fn answers_have_names_of_their_own() {
    let seeds = corpus::seeds();
    let names: std::collections::HashSet<_> = seeds.iter().map(|seed| seed.what).collect();
    assert_eq!(names.len(), seeds.len(), "they become file names");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16_384, ..ProptestConfig::default() })]

    #[test]
    fn mutants_are_read_without_harm_and_the_same_again(first in any::<u64>(), second in any::<u64>()) {
        let messages: Vec<_> = corpus::seeds().into_iter().map(|seed| seed.message).collect();
        let [mutant, other] = [first, second].map(|number| mutant(&mut Random(number), &messages));
        let mut walk = Walk::new();
        let once = read(&mut walk, &mutant);
        prop_assert!(once.1.len() <= MAX_RECORDS as usize);
        let _ = read(&mut walk, &other);
        prop_assert_eq!(read(&mut walk, &mutant), once);
    }
}
