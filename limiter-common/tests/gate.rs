//! The gate, on real memory and with real threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use limiter_common::gate::{Judgement, Shared, Undecided, charge, charge_handshake, judge, judge_at_once};
use limiter_common::gcra::Limit;
use limiter_common::key::Address;
use limiter_common::rule::{Action, Charge, Rule};
use limiter_common::sources::{Cell, Cells, Tenant, WAYS};
use limiter_common::verdict::{Reason, Verdict};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1 << 44;

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

/// A word that somebody else changes between every look and every touch.
#[derive(Default)]
struct Contended;

impl Cell for Contended {
    fn load(&self) -> u64 {
        0
    }
    fn compare_exchange(&self, _: u64, _: u64) -> bool {
        false
    }
}

fn rule(rate: Limit, total: Limit) -> Rule {
    Rule {
        rate,
        total,
        mask_v4: Address::mask(128),
        mask_v6: Address::mask(64),
        action: Action::Reset as u32,
        monitor: 0,
        strangers: Limit::NONE,
        max_open: 0,
        charge: 0,
        hints: 0,
        reserved: 0,
    }
}

/// For a source that is known.
fn all<C>(total: &C) -> Shared<'_, C> {
    Shared { total, strangers: None, is_charged: false }
}

fn per_second(count: u64, burst: u64, backoff: u64) -> Limit {
    Limit::new(count, SECOND, burst, backoff).expect("a limit that can be held")
}

fn set() -> [Word; WAYS] {
    std::array::from_fn(|_| Word::default())
}

fn verdict<S: Cells>(rule: &Rule, set: &S, total: &S::Cell, tag: u16, now: u64) -> Verdict {
    judge(rule, set, &all(total), tag, now).verdict
}

#[test]
fn a_source_passes_its_burst_and_is_then_over_its_rate() {
    let (rule, set, total) = (rule(per_second(10, 3, 0), Limit::NONE), set(), Word::default());
    let verdicts: Vec<_> = (0..5).map(|_| verdict(&rule, &set, &total, 7, NOW)).collect();
    assert_eq!(verdicts[..3], [Verdict::Pass; 3]);
    assert_eq!(verdicts[3..], [Verdict::Refuse(Reason::Rate); 2]);
    assert_eq!(verdict(&rule, &set, &total, 8, NOW), Verdict::Pass, "another source has its own");
    assert_eq!(verdict(&rule, &set, &total, 7, NOW + SECOND / 10), Verdict::Pass, "an interval later");
}

#[test]
fn a_newcomer_is_told_apart_from_a_source_that_was_there() {
    let (rule, set, total) = (rule(per_second(10, 3, 0), Limit::NONE), set(), Word::default());
    assert_eq!(judge(&rule, &set, &all(&total), 7, NOW).tenant, Tenant::Idle);
    assert_eq!(judge(&rule, &set, &all(&total), 7, NOW).tenant, Tenant::Same);
    for tag in 100..107 {
        assert_eq!(judge(&rule, &set, &all(&total), tag, NOW).tenant, Tenant::Idle);
    }
    assert_eq!(judge(&rule, &set, &all(&total), 200, NOW).tenant, Tenant::Active);
}

#[test]
fn with_a_backoff_the_first_refusal_is_for_the_rate_and_the_others_for_the_backoff() {
    let (rule, set, total) = (rule(per_second(10, 1, 5 * SECOND), Limit::NONE), set(), Word::default());
    let at = |now| verdict(&rule, &set, &total, 7, now);
    assert_eq!(at(NOW), Verdict::Pass);
    assert_eq!(at(NOW), Verdict::Refuse(Reason::Rate));
    assert_eq!(at(NOW), Verdict::Refuse(Reason::Backoff));
    assert_eq!(at(NOW + 5 * SECOND - 2), Verdict::Refuse(Reason::Backoff));
    assert_eq!(at(NOW + 5 * SECOND), Verdict::Pass);
}

#[test]
fn a_source_over_its_rate_uses_up_nothing_of_the_total() {
    let (rule, set, total) = (rule(per_second(10, 1, 0), per_second(10, 2, 0)), set(), Word::default());
    assert_eq!(verdict(&rule, &set, &total, 7, NOW), Verdict::Pass);
    for _ in 0..100 {
        assert_eq!(verdict(&rule, &set, &total, 7, NOW), Verdict::Refuse(Reason::Rate));
    }
    assert_eq!(verdict(&rule, &set, &total, 8, NOW), Verdict::Pass);
    assert_eq!(verdict(&rule, &set, &total, 9, NOW), Verdict::Refuse(Reason::Total));
}

#[test]
fn what_the_total_refuses_costs_the_source_nothing_and_takes_no_cell() {
    let (rule, set, total) = (rule(per_second(10, 1, 0), per_second(10, 1, 0)), set(), Word::default());
    assert_eq!(verdict(&rule, &set, &total, 7, NOW), Verdict::Pass);
    for _ in 0..100 {
        let refused = Judgement { verdict: Verdict::Refuse(Reason::Total), tenant: Tenant::Same };
        assert_eq!(judge(&rule, &set, &all(&total), 8, NOW), refused);
    }
    assert_eq!(set.iter().filter(|cell| cell.load() != 0).count(), 1);
    assert_eq!(verdict(&rule, &set, &total, 8, NOW + SECOND / 10), Verdict::Pass);
}

#[test]
fn a_total_alone_needs_no_cell() {
    let (rule, set, total) = (rule(Limit::NONE, per_second(10, 2, 0)), set(), Word::default());
    let verdicts: Vec<_> = (0..3).map(|tag| verdict(&rule, &set, &total, tag, NOW)).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Refuse(Reason::Total)]);
    assert!(set.iter().all(|cell| cell.load() == 0));
}

#[test]
fn a_source_over_its_rate_is_not_pushed_out_by_newcomers() {
    let (rule, set, total) = (rule(per_second(10, 5, 0), Limit::NONE), set(), Word::default());
    while verdict(&rule, &set, &total, 7, NOW) == Verdict::Pass {}
    for tag in 1000..9000 {
        assert_eq!(verdict(&rule, &set, &total, tag, NOW), Verdict::Pass);
    }
    assert_eq!(verdict(&rule, &set, &total, 7, NOW), Verdict::Refuse(Reason::Rate));
}

#[test]
fn when_every_try_is_lost_the_packet_is_judged_over() {
    let set: [Contended; WAYS] = std::array::from_fn(|_| Contended);
    let rule = rule(per_second(10, 5, 0), Limit::NONE);
    assert_eq!(verdict(&rule, &set, &Contended, 7, NOW), Verdict::Refuse(Reason::Contention));
    assert_eq!(charge(&rule.rate, &Contended, NOW, Reason::Total), Verdict::Refuse(Reason::Contention));
}

/// Time stands still, so exactly the burst may pass, whoever asks.
#[test]
fn two_threads_on_one_source_admit_the_burst_exactly() {
    for round in 0..20u64 {
        let burst = 10_000 + round;
        let rule = rule(per_second(1000, burst, 0), per_second(1000, burst, 0));
        let shared = Arc::new((set(), Word::default()));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let judged = (0..burst).map(|_| verdict(&rule, &shared.0, &shared.1, 7, NOW));
                    let verdicts: Vec<_> = judged.collect();
                    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count() as u64;
                    (count(Verdict::Pass), count(Verdict::Refuse(Reason::Contention)))
                })
            })
            .collect();
        let (mut passed, mut contended) = (0, 0);
        for thread in threads {
            let (p, c) = thread.join().unwrap();
            passed += p;
            contended += c;
        }
        assert!(passed <= burst, "{passed} of {burst}");
        assert!(passed + contended >= burst, "{passed} of {burst}, {contended} lost to contention");
    }
}

#[test]
fn strangers_share_a_budget_and_take_no_cell_once_it_is_used_up() {
    let rule = Rule { strangers: per_second(1, 3, 0), ..rule(per_second(1, 100, 0), per_second(1, 100, 0)) };
    let (set, total, strangers) = (set(), Word::default(), Word::default());
    let stranger = Shared { total: &total, strangers: Some(&strangers), is_charged: false };
    let verdicts: Vec<_> = (1..=8).map(|tag| judge(&rule, &set, &stranger, tag, NOW).verdict).collect();
    assert_eq!(verdicts[..3], [Verdict::Pass; 3]);
    assert_eq!(verdicts[3..], [Verdict::Refuse(Reason::Strangers); 5]);
    assert_eq!(set.iter().filter(|cell| cell.load() != 0).count(), 3, "who was refused has no cell");
    let before = total.load();
    assert_eq!(judge(&rule, &set, &stranger, 9, NOW).verdict, Verdict::Refuse(Reason::Strangers));
    assert_eq!(total.load(), before, "and uses up nothing of what all share");
    assert_eq!(
        judge(&rule, &set, &all(&total), 9, NOW).verdict,
        Verdict::Pass,
        "who is known is still served"
    );
}

#[test]
fn a_rule_for_handshakes_charges_no_syn() {
    let rule = Rule { charge: Charge::Handshake as u32, ..rule(per_second(1, 3, 0), Limit::NONE) };
    let (set, total) = (set(), Word::default());
    let syns =
        |count| -> Vec<_> { (0..count).map(|_| judge(&rule, &set, &all(&total), 7, NOW).verdict).collect() };
    assert_eq!(syns(50), [Verdict::Pass; 50], "forged ones cost nothing");
    assert_eq!(charge_handshake(&rule, &set, 7, NOW), Tenant::Idle);
    charge_handshake(&rule, &set, 7, NOW);
    assert_eq!(syns(5), [Verdict::Pass; 5]);
    charge_handshake(&rule, &set, 7, NOW);
    assert_eq!(syns(5), [Verdict::Refuse(Reason::Rate); 5]);
    // More than there was room for, of SYNs that had passed before.
    charge_handshake(&rule, &set, 7, NOW);
    assert_eq!(judge(&rule, &set, &all(&total), 7, NOW + SECOND).verdict, Verdict::Pass);
}

/// What the kernel does with a plain rule.
fn judge_as_the_kernel<C: Cell>(rule: &Rule, set: &[C; WAYS], total: &C, tag: u16, now: u64) -> Judgement {
    match judge_at_once(rule, set, || Some(total), tag, now) {
        Ok(judgement) => judgement,
        Err(Undecided { is_charged }) => judge(rule, set, &Shared { is_charged, ..all(total) }, tag, now),
    }
}

proptest! {
    /// Whatever the limits, the sources and the times between their SYNs: the same verdicts, and the same memory.
    #[test]
    fn a_judgement_at_once_is_the_judgement(
        rate in (1u64..100, 1u64..5, prop_oneof![Just(0), 1..3 * SECOND]),
        total in prop::option::of((1u64..100, 1u64..5)),
        syns in prop::collection::vec((1u16..12, 0..SECOND / 4), 1..60),
    ) {
        let limit = |(count, burst)| per_second(count, burst, 0);
        let rule = rule(per_second(rate.0, rate.1, rate.2), total.map_or(Limit::NONE, limit));
        let (ours, theirs) = ((set(), Word::default()), (set(), Word::default()));
        let memory = |(set, total): &([Word; WAYS], Word)| (set.each_ref().map(Cell::load), total.load());
        let mut now = NOW;
        for (tag, later) in syns {
            now += later;
            let judged = judge_as_the_kernel(&rule, &ours.0, &ours.1, tag, now);
            prop_assert_eq!(judged, judge(&rule, &theirs.0, &all(&theirs.1), tag, now));
            prop_assert_eq!(memory(&ours), memory(&theirs));
        }
    }
}

#[test]
fn only_a_source_that_has_its_cell_is_judged_at_once() {
    let (rule, set, total) = (rule(per_second(10, 2, 0), per_second(10, 9, 0)), set(), Word::default());
    let at_once = |tag| judge_at_once(&rule, &set, || Some(&total), tag, NOW);
    assert_eq!(at_once(7), Err(Undecided { is_charged: false }));
    assert_eq!((total.load(), set[0].load()), (0, 0));
    judge(&rule, &set, &all(&total), 7, NOW);
    assert_eq!(at_once(7).map(|judgement| judgement.verdict), Ok(Verdict::Pass));
    assert_eq!(at_once(7).map(|judgement| judgement.verdict), Ok(Verdict::Refuse(Reason::Rate)));
    assert_eq!(at_once(8), Err(Undecided { is_charged: false }));
}

/// A total that is charged once by every SYN, whichever of the two CPUs has to try again.
#[test]
fn two_threads_that_judge_at_once_admit_the_burst_exactly() {
    const BURST: u64 = 20_000;
    let rule = rule(per_second(1000, BURST, 0), per_second(1000, 2 * BURST, 0));
    let (set, total) = (set(), Word::default());
    let (passed, contended) = thread::scope(|scope| {
        let threads = [(); 2].map(|()| {
            scope.spawn(|| {
                let verdicts: Vec<_> =
                    (0..BURST).map(|_| judge_as_the_kernel(&rule, &set, &total, 7, NOW).verdict).collect();
                let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count() as u64;
                (count(Verdict::Pass), count(Verdict::Refuse(Reason::Contention)))
            })
        });
        threads.map(|thread| thread.join().unwrap()).into_iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    });
    assert!(passed <= BURST && passed + contended >= BURST, "{passed} of {BURST}, {contended} contended");
    // Time stands still: the total's state is the sum of what it was charged, and no SYN charges it twice.
    let charged = (total.load() - NOW) / rule.total.emission_interval;
    assert!((passed..=passed + contended + 2).contains(&charged), "{charged} charged, {passed} passed");
}
