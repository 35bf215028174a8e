//! The parser, on bytes that nobody meant it to read. What it makes of good and bad packets stands in the packet
//! tables of the integration tests, where the kernel is asked the same.

use limiter_common::packet::parse;
use limiter_common::reset;
use proptest::prelude::*;

/// A frame that gets far: the right types in the right places, then anything.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec(prop_oneof![Just([0x81u8, 0x00]), Just([0x88, 0xa8])], 0..6);
    let ip = prop_oneof![
        (
            Just(vec![0x08u8, 0x00]),
            prop_oneof![Just(0x45u8), Just(0x4f), Just(0x46), any::<u8>()],
            Just(9usize)
        ),
        (Just(vec![0x86u8, 0xdd]), Just(0x60u8), Just(6usize)),
    ];
    let next = prop_oneof![4 => Just(6u8), 1 => prop_oneof![Just(0u8), Just(43), Just(44), Just(51), Just(60), Just(135)]];
    (tags, ip, next, prop::collection::vec(any::<u8>(), 0..400)).prop_map(
        |(tags, (ether, first, at), next, rest)| {
            let mut frame = vec![2; 12];
            for tag in tags {
                frame.extend(tag);
                frame.extend([0, 7]);
            }
            frame.extend(ether);
            let ip = frame.len();
            frame.extend(rest);
            if let Some(byte) = frame.get_mut(ip) {
                *byte = first;
            }
            if let Some(byte) = frame.get_mut(ip + at) {
                *byte = next;
            }
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_bytes_are_parsed_without_panic(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&frame[..]);
    }

    #[test]
    fn what_is_found_lies_within_the_frame_and_can_be_answered_in_fewer_bytes(frame in plausible()) {
        let Ok(syn) = parse(&frame[..]) else { return Ok(()) };
        prop_assert!(syn.ip_offset >= 14 && syn.ip_offset <= 30);
        if let Some(length) = syn.length {
            let words = if syn.v6 { reset::V6_WORDS } else { reset::V4_WORDS };
            prop_assert!(syn.ip_offset + words * 4 + length.get() as usize - 1 <= frame.len());
        }
    }

    /// Cut anywhere, a frame is never taken for a SYN of another source or port.
    #[test]
    fn a_cut_frame_is_the_same_syn_or_none(frame in plausible(), at in any::<prop::sample::Index>()) {
        let cut = &frame[..at.index(frame.len() + 1)];
        if let (Ok(whole), Ok(part)) = (parse(&frame[..]), parse(cut)) {
            prop_assert_eq!((whole.source, whole.destination_port), (part.source, part.destination_port));
        }
    }
}
