//! The rate, held against what it promises, for any limit and any times.

use limiter_common::gcra::{Limit, LimitError, MAX_HORIZON, Outcome, State};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
/// How far a state may lie beyond what a limit leaves, before it is taken for another one's.
const SKEW: u64 = 1 << 30;

/// Limits from 1 an hour to 10,000,000 a second, bursts from 1 to what fits.
fn limits(backoff: impl Strategy<Value = u64>) -> impl Strategy<Value = Limit> {
    (
        1u64..=10_000_000,
        prop_oneof![Just(SECOND), Just(60 * SECOND), Just(3600 * SECOND)],
        1u64..=1000,
        backoff,
    )
        .prop_filter_map("a limit that can be held", |(count, per, burst, backoff)| {
            Limit::new(count, per, burst, backoff).ok()
        })
}

/// Times at the edges that 48 and 64 bits wrap at, at the start, and anywhere.
fn starts() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just((1 << 48) - SECOND), Just(u64::MAX - SECOND), Just(1 << 63), any::<u64>()]
}

/// Steps in tenths of an interval: standing still, crowding, keeping pace, pausing.
fn steps() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(
        prop_oneof![4 => Just(0u64), 4 => 1u64..10, 2 => 10u64..100, 1 => 1_000u64..100_000],
        1..300,
    )
}

/// Runs attempts at these steps; gives the time of each and whether it was admitted.
fn run(limit: &Limit, start: u64, steps: &[u64]) -> Vec<(u64, bool)> {
    let (mut now, mut state) = (start, State::from_bits(start & !1));
    steps
        .iter()
        .map(|step| {
            now = now.wrapping_add(step * limit.emission_interval / 10);
            let decision = limit.admit(state, now);
            state = decision.next;
            (now, decision.outcome == Outcome::Admitted)
        })
        .collect()
}

fn burst(limit: &Limit) -> u64 {
    limit.tolerance / limit.emission_interval + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_window_admits_more_than_burst_and_rate(limit in limits(Just(0)), start in starts(), steps in steps()) {
        let admitted: Vec<u64> =
            run(&limit, start, &steps).into_iter().filter(|(_, admitted)| *admitted).map(|(time, _)| time).collect();
        for (i, first) in admitted.iter().enumerate() {
            for (j, last) in admitted.iter().enumerate().skip(i) {
                let window = last.wrapping_sub(*first) + 2; // times are kept to 2 ns
                let most = burst(&limit) + window / limit.emission_interval;
                prop_assert!((j - i + 1) as u64 <= most, "{} in {window} ns, at most {most}", j - i + 1);
            }
        }
    }

    /// A bucket of tokens, counted in exact fractions, admits the same attempts.
    #[test]
    fn no_attempt_is_refused_that_the_rate_allows(limit in limits(Just(0)), start in starts(), steps in steps()) {
        let full = u128::from(burst(&limit)) * u128::from(limit.emission_interval);
        let (mut tokens, mut last) = (full, start & !1);
        for (now, admitted) in run(&limit, start, &steps) {
            let now = now & !1;
            tokens = full.min(tokens + u128::from(now.wrapping_sub(last)));
            last = now;
            let allowed = tokens >= u128::from(limit.emission_interval);
            prop_assert_eq!(admitted, allowed, "{} of {} tokens", tokens, full);
            if allowed {
                tokens -= u128::from(limit.emission_interval);
            }
        }
    }

    #[test]
    fn retry_after_is_true_to_the_nanosecond(
        limit in limits(0..100 * SECOND), start in starts(), steps in steps(),
    ) {
        let (mut now, mut state) = (start, State::from_bits(start & !1));
        for step in steps {
            now = now.wrapping_add(step * limit.emission_interval / 10);
            state = limit.admit(state, now).next;
            let wait = limit.retry_after(state, now);
            let then = now.wrapping_add(wait);
            prop_assert_eq!(limit.admit(state, then).outcome, Outcome::Admitted, "at {} + {}", now, wait);
            if wait > 0 {
                prop_assert_ne!(limit.admit(state, then.wrapping_sub(1)).outcome, Outcome::Admitted);
                prop_assert_eq!(limit.retry_after(state, then.wrapping_sub(1)), 1);
            }
        }
    }

    #[test]
    fn a_backoff_lasts_as_long_as_it_says_and_no_attempt_extends_it(
        limit in limits(1_000..100 * SECOND), start in starts(), knocks in prop::collection::vec(0u64..1000, 0..50),
    ) {
        let mut state = State::from_bits(start & !1);
        let crossing = loop {
            let decision = limit.admit(state, start);
            state = decision.next;
            if decision.outcome != Outcome::Admitted {
                break decision;
            }
        };
        prop_assert_eq!(crossing.outcome, Outcome::Over);
        let pause = limit.retry_after(state, start);
        prop_assert!(pause + 1 >= limit.backoff.max(limit.emission_interval));
        prop_assert!(pause <= limit.backoff.max(limit.emission_interval));
        for knock in knocks {
            let now = start.wrapping_add(pause * knock / 1000);
            prop_assert_eq!(limit.admit(state, now), limiter_common::gcra::Decision {
                outcome: Outcome::BackingOff,
                next: state,
            });
        }
        prop_assert_eq!(limit.admit(state, start.wrapping_add(pause)).outcome, Outcome::Admitted);
    }

    /// After a back-off the bucket has filled for as long as it lasted, to within one token.
    #[test]
    fn a_backoff_costs_no_more_than_its_time(limit in limits(1_000..100 * SECOND), start in starts()) {
        let mut state = State::from_bits(start & !1);
        while limit.admit(state, start).outcome == Outcome::Admitted {
            state = limit.admit(state, start).next;
        }
        state = limit.admit(state, start).next;
        let end = start.wrapping_add(limit.retry_after(state, start));
        let mut admitted = 0;
        while limit.admit(state, end).outcome == Outcome::Admitted {
            state = limit.admit(state, end).next;
            admitted += 1;
        }
        let refilled = (limit.backoff / limit.emission_interval).min(burst(&limit));
        prop_assert!((refilled.max(1)..=refilled + 1).contains(&admitted), "{admitted} admitted, {refilled} refilled");
    }

    /// A limit takes the place of another one at any moment, whatever state that has left.
    #[test]
    fn a_new_limit_hands_out_no_fresh_burst_and_keeps_nobody_waiting_for_longer_than_it_would(
        old in limits(prop_oneof![Just(0), 1_000..100 * SECOND]),
        new in limits(prop_oneof![Just(0), 1_000..100 * SECOND]),
        start in starts(),
        steps in steps(),
    ) {
        let mut state = State::from_bits(start & !1);
        while old.admit(state, start).outcome == Outcome::Admitted {
            state = old.admit(state, start).next;
        }
        state = old.admit(state, start).next;
        let used = state.distance(start & !1);
        let whole = (new.tolerance + new.emission_interval) as i64;
        let longest = new.backoff.max(whole as u64);
        prop_assert!(new.retry_after(state, start) <= longest + SKEW);
        let (mut now, mut admitted) = (start, 0);
        for step in steps {
            now = now.wrapping_add(step * new.emission_interval / 10);
            let decision = new.admit(state, now);
            state = decision.next;
            prop_assert!(new.retry_after(state, now) <= longest + SKEW);
            admitted += u64::from(decision.outcome == Outcome::Admitted);
            let earned = (now.wrapping_sub(start) + 2) / new.emission_interval;
            prop_assert!(admitted <= burst(&new) + earned);
            if used >= whole && old.backoff == 0 {
                prop_assert!(admitted <= earned, "{admitted} admitted, {earned} earned");
            }
        }
    }

    #[test]
    fn a_clock_that_differs_by_a_millisecond_between_cpus_resets_nobody(limit in limits(Just(0)), start in starts()) {
        let late = start.wrapping_add(1_000_000);
        let mut state = State::from_bits(late & !1);
        while limit.admit(state, late).outcome == Outcome::Admitted {
            state = limit.admit(state, late).next;
        }
        prop_assert_eq!(limit.admit(state, start).outcome, Outcome::Over);
    }
}

#[test]
fn a_state_from_before_the_clock_wrapped_is_idle() {
    let limit = Limit::new(1, SECOND, 1, 0).unwrap();
    let relic = State::from_bits(1 << 47);
    assert_eq!(limit.admit(relic, 0).outcome, Outcome::Admitted);
}

#[test]
fn time_standing_still_admits_the_burst_and_no_more() {
    let limit = Limit::new(900, 60 * SECOND, 60, 0).unwrap();
    let admitted = run(&limit, 12_345, &[0; 1000]).into_iter().filter(|(_, admitted)| *admitted).count();
    assert_eq!(admitted, 60);
}

#[test]
fn what_cannot_be_held_is_refused() {
    assert_eq!(Limit::new(0, SECOND, 1, 0), Err(LimitError::Zero));
    assert_eq!(Limit::new(1, SECOND, 0, 0), Err(LimitError::Zero));
    assert_eq!(Limit::new(10_000_001, SECOND, 1, 0), Err(LimitError::TooFast));
    assert_eq!(Limit::new(1, 3600 * SECOND, 25, 0), Err(LimitError::TooLong));
    assert_eq!(Limit::new(1, SECOND, 1, MAX_HORIZON + 2), Err(LimitError::TooLong));
    assert_eq!(Limit::new(1, u64::MAX, u64::MAX, u64::MAX), Err(LimitError::TooLong));
}

#[test]
fn the_interval_is_exact_to_a_nanosecond() {
    for (count, per, interval) in [
        (10_000_000, SECOND, 100),
        (3, SECOND, 333_333_334),
        (900, 60 * SECOND, 66_666_666),
        (1, 3600 * SECOND, 3600 * SECOND),
    ] {
        assert_eq!(Limit::new(count, per, 1, 0).unwrap().emission_interval, interval);
    }
}
