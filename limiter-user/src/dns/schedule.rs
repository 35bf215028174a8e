//! When each name is asked for again. Pure: time is an argument.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// No name is asked for more often, whatever its TTL.
const FLOOR: Duration = Duration::from_secs(5);
/// And none less often.
const CAP: Duration = Duration::from_hours(1);
/// How long it takes until a name is asked for again that had no answer: this, then twice as long each time.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Names and when they are due.
#[derive(Debug, Default)]
pub struct Schedule {
    due: BinaryHeap<Reverse<(Instant, String)>>,
    /// How often in a row a name had no answer.
    failures: HashMap<String, u32>,
}

impl Schedule {
    /// All of them at once.
    pub fn new(names: impl IntoIterator<Item = String>, now: Instant) -> Self {
        Self { due: names.into_iter().map(|name| Reverse((now, name))).collect(), failures: HashMap::new() }
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes one that is due. It comes back by [`Self::answered`] or [`Self::failed`].
    pub fn take(&mut self, now: Instant) -> Option<String> {
        if self.next_due()? > now {
            return None;
        }
        self.due.pop().map(|Reverse((_, name))| name)
    }

    /// It is due again when its answer runs out.
    pub fn answered(&mut self, name: String, ttl: Duration, now: Instant) {
        self.failures.remove(&name);
        self.due.push(Reverse((now + ttl.clamp(FLOOR, CAP), name)));
    }

    /// It is due again after a while.
    pub fn failed(&mut self, name: String, now: Instant) {
        let failures = self.failures.entry(name.clone()).or_default();
        let wait = RETRY.saturating_mul(1 << (*failures).min(6)).min(LONGEST_RETRY);
        *failures += 1;
        self.due.push(Reverse((now + wait, name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn all_names_are_due_at_once_and_again_as_their_answers_run_out() {
        let start = Instant::now();
        let mut schedule = Schedule::new(["a".into(), "b".into()], start);
        assert_eq!((schedule.take(start), schedule.take(start)), (Some("a".into()), Some("b".into())));
        assert_eq!((schedule.take(start), schedule.next_due()), (None, None));
        schedule.answered("a".into(), seconds(60), start);
        schedule.answered("b".into(), seconds(30), start);
        assert_eq!(schedule.next_due(), Some(start + seconds(30)));
        assert_eq!(schedule.take(start + seconds(29)), None);
        assert_eq!(schedule.take(start + seconds(30)), Some("b".into()));
    }

    #[test]
    fn a_ttl_has_a_floor_and_a_cap() {
        let now = Instant::now();
        for (ttl, wait) in [(0, 5), (4, 5), (6, 6), (86_400, 3600)] {
            let mut schedule = Schedule::default();
            schedule.answered("a".into(), seconds(ttl), now);
            assert_eq!(schedule.next_due(), Some(now + seconds(wait)), "{ttl} s");
        }
    }

    #[test]
    fn failures_in_a_row_take_longer_and_longer_and_an_answer_ends_them() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            schedule.failed("a".into(), now);
            assert_eq!(schedule.next_due(), Some(now + seconds(wait)));
            assert!(schedule.take(now + seconds(wait)).is_some());
        }
        schedule.answered("a".into(), seconds(10), now);
        schedule.take(now + seconds(10));
        schedule.failed("a".into(), now);
        assert_eq!(schedule.next_due(), Some(now + seconds(1)));
    }
}
