//! Frames that nobody would think of.

use limiter_common::packet::parse;
use limiter_tests::packet::{Extension, Frame};
use limiter_tests::program::{Counted, PASSES, Program, XdpVerdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

/// Good frames with bytes changed at random: the kernel and the host read them alike.
#[test]
fn the_kernel_and_the_host_agree_on_mutated_frames() {
    const FRAMES: u32 = 200_000;
    let seeds = [
        Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, PASSES).syn().mss(1460).payload(b"hello"),
        Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, PASSES).syn().ip_options(&[1; 8]).tag(0x8100, 7),
        Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, PASSES).syn().fragment(0, true).pad_to(60),
        Frame::ipv6("2001:db8::7", "2001:db8::1").tcp(40_000, PASSES).syn(),
        Frame::ipv6("2001:db8::7", "2001:db8::1")
            .tcp(40_000, PASSES)
            .syn()
            .extension(Extension::hop_by_hop())
            .extension(Extension::fragment(0, false))
            .extension(Extension::destination())
            .tag(0x88a8, 1)
            .tag(0x8100, 2),
    ]
    .map(|frame| frame.build());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let frames = (prop::sample::select(seeds.to_vec()), changes).prop_map(|(mut frame, changes)| {
        for (place, value) in changes {
            let place = place.index(frame.len());
            frame[place] = value;
        }
        frame
    });
    let mut program = Program::load();
    let (mut syns, mut skips) = (0, 0);
    let mut runner = TestRunner::new(Config { cases: 1, failure_persistence: None, ..Config::default() });
    for _ in 0..FRAMES {
        let frame = frames.new_tree(&mut runner).expect("a frame").current();
        let seen = program.run(&frame);
        match parse(&frame[..]) {
            Ok(syn) if syn.destination_port == PASSES => {
                syns += 1;
                assert_eq!(
                    (seen.verdict, seen.counted),
                    (XdpVerdict::Pass, vec![Counted::Passed]),
                    "{frame:x?}"
                );
            }
            Ok(_) => {}
            Err(skip) => {
                skips += 1;
                let counted = if skip.is_counted() { vec![Counted::Skipped(skip)] } else { vec![] };
                assert_eq!((seen.verdict, seen.counted), (XdpVerdict::Pass, counted), "{frame:x?}");
            }
        }
    }
    assert!(syns > FRAMES / 10 && skips > FRAMES / 10, "{syns} SYNs and {skips} others show little");
}
