//! When a back-off begins and when it ends.

use std::thread;
use std::time::Duration;

use limiter_tests::packet::Parsed;
use limiter_tests::wire::{Capture, monotonic_ns};
use serde_json::json;

use super::{Family, PATIENCE, Scene, everywhere, passed};

/// One SYN of a steady sender.
struct Attempt {
    /// Just before and just after it was sent.
    sent_ns: [u64; 2],
    /// When the server saw it, if it passed.
    passed_ns: Option<u64>,
}

#[test]
fn after_a_crossing_all_is_refused_until_the_backoff_ends_and_no_longer() {
    const BACKOFF: u64 = 500_000_000;
    const TOLERANCE: u64 = 50_000_000;
    everywhere(|mode, family| {
        let scene = Scene::new(mode, &["--rate", "10/s burst 10", "--backoff", "500ms"]);
        let attempts = steady(&scene, family, 600);
        let refusals: Vec<_> = attempts
            .chunk_by(|a, b| a.passed_ns.is_some() == b.passed_ns.is_some())
            .skip(1) // the burst
            .collect();
        for run in refusals.chunks(2) {
            let [crossing, last] = [&run[0][0], &run[0][run[0].len() - 1]];
            let late = last.sent_ns[0].saturating_sub(crossing.sent_ns[1] + BACKOFF);
            assert!(late <= TOLERANCE, "{mode} {family:?}: refused {late} ns after the back-off");
            if let Some(readmitted) = run.get(1).and_then(|run| run[0].passed_ns) {
                let pause = readmitted - crossing.sent_ns[0];
                assert!(pause >= BACKOFF, "{mode} {family:?}: admitted after {pause} ns");
            }
        }
        let crossings = refusals.len().div_ceil(2) as u64;
        println!("back-off, {mode} {family:?}: {crossings} crossings");
        assert!(crossings >= 3, "{crossings} crossings show little");

        let outcome = scene.outcome(600, passed);
        let refused = 600 - outcome.passed;
        let expected = json!({"rate": crossings, "backoff": refused - crossings, "total": 0, "contention": 0, "denied": 0, "open": 0, "strangers": 0});
        assert_eq!(outcome.rule["refused"], expected, "{mode} {family:?}");
    });
}

/// Sends SYNs one by one, each with a sequence number of its own, every five milliseconds or a little later.
fn steady(scene: &Scene, family: Family, count: u32) -> Vec<Attempt> {
    let capture = Capture::open(&scene.server.host, "eth0");
    let mut attempts: Vec<_> = (0..count)
        .map(|number| {
            let frame = family.syn(1, 1).seq(number).build();
            let before = monotonic_ns();
            scene.sender.send(&frame);
            let after = monotonic_ns();
            thread::sleep(Duration::from_millis(5));
            Attempt { sent_ns: [before, after], passed_ns: None }
        })
        .collect();
    let passed = passed(&scene.status_after(count.into())["rules"][0]);
    for _ in 0..passed {
        let seen = capture.find(PATIENCE, |frame| {
            Parsed::tcp(&frame.bytes).filter(|_| !frame.outgoing).map(|syn| (syn.seq, frame.at_ns))
        });
        let (number, at_ns) = seen.expect("as many frames as passed");
        attempts[number as usize].passed_ns = Some(at_ns);
    }
    attempts
}
