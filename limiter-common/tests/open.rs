//! What a source holds open and what is pending, against a model, and with real threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use limiter_common::open::{Count, Pass, judge};
use limiter_common::pending::{self, LONGEST, settle};
use limiter_common::sources::{Cell, WAYS};
use limiter_common::verdict::{Reason, Verdict};
use proptest::prelude::*;

const NOW: u64 = 1 << 44;
/// How soon a handshake ends here: within a window, as what is pending is made for.
const WINDOW: u64 = LONGEST / 2;

/// A word that all threads share.
#[derive(Default)]
struct Word(AtomicU64);

impl Cell for Word {
    fn load(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
    fn compare_exchange(&self, old: u64, new: u64) -> bool {
        self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// What happens to one source.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It sends a SYN.
    Syn,
    /// Its oldest handshake ends.
    Established,
    /// One of its connections ends.
    Closed,
    /// Time passes, in thousandths of a window.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Syn),
        3 => Just(Step::Established),
        2 => Just(Step::Closed),
        2 => (0..700u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    /// A SYN passes if, and only if, what is open and what is under way leaves room; so more are never open. A handshake
    /// that is about to miss its window ends first.
    #[test]
    fn never_more_than_allowed_are_open(max in 1..20u32, steps in steps()) {
        let set: [Word; WAYS] = Default::default();
        let (mut now, mut count) = (NOW, Count::none(0));
        let mut handshakes = VecDeque::new();
        let end = |handshakes: &mut VecDeque<u64>, count: &mut Count, now| {
            if handshakes.pop_front().is_some() {
                *count = count.opened();
                assert!(settle(&set, 7, now));
            }
        };
        for step in steps {
            match step {
                Step::Syn => {
                    let room = count.open() + (handshakes.len() as u32) < max;
                    let verdict = judge(max, || count.open(), &set, 7, now, Pass::Charge);
                    prop_assert_eq!(verdict == Verdict::Pass, room, "{} of {}", count.open(), max);
                    if room {
                        handshakes.push_back(now);
                    } else {
                        prop_assert_eq!(verdict, Verdict::Refuse(Reason::Open));
                    }
                }
                Step::Established => end(&mut handshakes, &mut count, now),
                Step::Closed => count = count.closed(),
                Step::Wait(thousandths) => {
                    let later = now + thousandths * (WINDOW / 1000);
                    while handshakes.front().is_some_and(|&begun| begun + WINDOW <= later) {
                        now = handshakes[0] + WINDOW - 1;
                        end(&mut handshakes, &mut count, now);
                    }
                    now = later;
                }
            }
            prop_assert!(count.open() <= max);
        }
    }

    /// Handshakes that never end cost their source nothing for longer than two windows.
    #[test]
    fn what_is_abandoned_is_forgotten(max in 1..20u32, open in 0..20u32, sent in 0..40u32, wait in 0..WINDOW) {
        let set: [Word; WAYS] = Default::default();
        let passes = |now| judge(max, || open, &set, 7, now, Pass::Charge) == Verdict::Pass;
        let passed = (0..sent).filter(|_| passes(NOW + wait)).count();
        prop_assert_eq!(passed as u32, sent.min(max.saturating_sub(open)));
        let passed = (0..40).filter(|_| passes(NOW + wait + LONGEST)).count();
        prop_assert_eq!(passed as u32, max.saturating_sub(open));
    }
}

#[test]
fn asking_changes_nothing() {
    let set: [Word; WAYS] = Default::default();
    for _ in 0..100 {
        assert_eq!(judge(1, || 0, &set, 7, NOW, Pass::Ask), Verdict::Pass);
    }
    assert!(set.iter().all(|cell| cell.load() == 0));
    assert_eq!(judge(1, || 0, &set, 7, NOW, Pass::Charge), Verdict::Pass);
    assert_eq!(judge(1, || 0, &set, 7, NOW, Pass::Ask), Verdict::Refuse(Reason::Open));
    assert_eq!(judge(1, || 0, &set, 8, NOW, Pass::Ask), Verdict::Pass, "another source");
}

/// Several threads open and close connections of one source as fast as they can.
#[test]
fn threads_never_hold_more_than_allowed_together() {
    const MAX: u32 = 3;
    let set: [Word; WAYS] = Default::default();
    let (count, held, most, refused) =
        (Word::default(), AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let change = |change: fn(Count) -> Count| loop {
        let old = count.load();
        if count.compare_exchange(old, change(Count::from_bits(old)).bits()) {
            break;
        }
    };
    let open = || Count::from_bits(count.load()).open();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    match judge(MAX, open, &set, 7, NOW, Pass::Charge) {
                        Verdict::Pass => {
                            most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            change(Count::opened);
                            while !settle(&set, 7, NOW) {}
                            thread::yield_now();
                            held.fetch_sub(1, Ordering::SeqCst);
                            change(Count::closed);
                        }
                        Verdict::Refuse(_) => {
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    let most = most.into_inner();
    assert!(most <= MAX, "{most} at a time");
    assert!(refused.into_inner() > 0, "the limit was never reached");
    assert_eq!((open(), set.iter().map(|cell| pending::count(cell.load(), 7, NOW)).sum()), (0, 0));
}
