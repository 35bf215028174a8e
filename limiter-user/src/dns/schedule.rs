//! When each name is asked for again. Pure: time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// No name is asked for more often, whatever its TTL.
const FLOOR: Duration = Duration::from_secs(5);
/// And none less often.
const CAP: Duration = Duration::from_hours(1);
/// How long it takes until a name is asked for again that had no answer: this, then twice as long each time.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// So many names at most are asked for once, or were within [`FLOOR`]: whoever makes them up cannot make this grow.
const MOST_ONCE: usize = 1024;

/// Names and when they are due.
#[derive(Debug, Default)]
pub struct Schedule {
    due: BTreeSet<(Instant, String)>,
    names: HashMap<String, Name>,
    /// How many of the names are asked for once.
    once: usize,
}

#[derive(Debug)]
struct Name {
    /// `None` while it is asked for. Where it is not wanted any more, it is forgotten then.
    due: Option<Instant>,
    asked: Option<Instant>,
    /// Whether it is asked for again and again, or once.
    is_listed: bool,
    /// Whether it is to be asked for when it is due.
    is_wanted: bool,
    /// How often in a row it had no answer.
    failures: u32,
}

impl Schedule {
    /// All of them at once, each again and again; one that comes twice counts as one.
    pub fn new(names: impl IntoIterator<Item = String>, now: Instant) -> Self {
        let mut schedule = Self::default();
        for name in names {
            schedule.insert(name, true, now);
        }
        schedule
    }

    /// Once, and now, though none below the floor: where this process is limited itself, what it asks comes back to it as
    /// one more name that the kernel could not read. A listed name is brought forward; beyond the bound nothing is added.
    pub fn once(&mut self, name: String, now: Instant) {
        let Some(known) = self.names.get_mut(&name) else {
            if self.once < MOST_ONCE {
                self.once += 1;
                self.insert(name, false, now);
            }
            return;
        };
        known.is_wanted = true;
        let earliest = known.asked.map_or(now, |asked| now.max(asked + FLOOR));
        if known.due.is_some_and(|due| due > earliest) {
            self.put(name, earliest);
        }
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes one that is due. It comes back by [`Self::answered`] or [`Self::failed`].
    pub fn take(&mut self, now: Instant) -> Option<String> {
        while self.next_due()? <= now {
            let (_, name) = self.due.pop_first()?;
            let Some(known) = self.names.get_mut(&name) else { continue };
            if known.is_wanted {
                known.is_wanted = known.is_listed;
                (known.due, known.asked) = (None, Some(now));
                return Some(name);
            }
            self.names.remove(&name);
            self.once -= 1;
        }
        None
    }

    /// It is due again when its answer runs out.
    pub fn answered(&mut self, name: String, ttl: Duration, now: Instant) {
        if let Some(known) = self.listed(&name, now) {
            known.failures = 0;
            self.put(name, now + ttl.clamp(FLOOR, CAP));
        }
    }

    /// It is due again after a while. Whether it is listed: one that is asked for once is not tried again.
    pub fn failed(&mut self, name: String, now: Instant) -> bool {
        let Some(known) = self.listed(&name, now) else { return false };
        let wait = RETRY.saturating_mul(1 << known.failures.min(6)).min(LONGEST_RETRY);
        known.failures += 1;
        self.put(name, now + wait);
        true
    }

    /// The name, where it is asked for again; otherwise that was all, and it is kept until the floor is over.
    fn listed(&mut self, name: &str, now: Instant) -> Option<&mut Name> {
        let known = self.names.get(name)?;
        if !known.is_listed {
            let over = known.asked.map_or(now, |asked| asked + FLOOR);
            self.put(name.to_owned(), over);
            return None;
        }
        self.names.get_mut(name)
    }

    fn insert(&mut self, name: String, is_listed: bool, due: Instant) {
        self.names
            .insert(name.clone(), Name { due: None, asked: None, is_listed, is_wanted: true, failures: 0 });
        self.put(name, due);
    }

    /// A known name has one time at most.
    fn put(&mut self, name: String, due: Instant) {
        let Some(known) = self.names.get_mut(&name) else { return };
        let before = known.due.replace(due);
        let mut entry = (due, name);
        if let Some(before) = before {
            entry.0 = before;
            self.due.remove(&entry);
            entry.0 = due;
        }
        self.due.insert(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A listed name that is being asked for.
    fn asked(now: Instant) -> Schedule {
        let mut schedule = Schedule::new(["a".into()], now);
        assert_eq!(schedule.take(now), Some("a".into()));
        schedule
    }

    #[test]
    fn all_names_are_due_at_once_and_again_as_their_answers_run_out() {
        let start = Instant::now();
        let mut schedule = Schedule::new(["a".into(), "b".into(), "a".into()], start);
        assert_eq!((schedule.take(start), schedule.take(start)), (Some("a".into()), Some("b".into())));
        assert_eq!((schedule.take(start), schedule.next_due()), (None, None), "a name listed twice is one");
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
            let mut schedule = asked(now);
            schedule.answered("a".into(), seconds(ttl), now);
            assert_eq!(schedule.next_due(), Some(now + seconds(wait)), "{ttl} s");
        }
    }

    #[test]
    fn failures_in_a_row_take_longer_and_longer_and_an_answer_ends_them() {
        let now = Instant::now();
        let mut schedule = asked(now);
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(schedule.failed("a".into(), now));
            assert_eq!(schedule.next_due(), Some(now + seconds(wait)));
            assert!(schedule.take(now + seconds(wait)).is_some());
        }
        schedule.answered("a".into(), seconds(10), now);
        schedule.take(now + seconds(10));
        schedule.failed("a".into(), now);
        assert_eq!(schedule.next_due(), Some(now + seconds(1)));
    }

    #[test]
    fn a_name_that_is_not_listed_is_asked_for_once() {
        let now = Instant::now();
        for answer in [true, false] {
            let mut schedule = Schedule::default();
            schedule.once("a".into(), now);
            schedule.once("a".into(), now);
            assert_eq!((schedule.take(now), schedule.take(now)), (Some("a".into()), None));
            assert_eq!(schedule.next_due(), None, "it is being asked for");
            if answer {
                schedule.answered("a".into(), seconds(9), now);
            } else {
                assert!(!schedule.failed("a".into(), now), "no failure of a listed name");
            }
            assert_eq!(schedule.take(now + seconds(9)), None);
            assert_eq!((schedule.next_due(), schedule.once), (None, 0), "it is forgotten");
            schedule.once("a".into(), now + seconds(9));
            assert_eq!(schedule.take(now + seconds(9)), Some("a".into()), "another time is another time");
        }
    }

    #[test]
    fn a_name_that_keeps_coming_back_is_asked_for_once_in_five_seconds() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.once("a".into(), start);
        let mut asked = Vec::new();
        for second in 0..20 {
            let now = start + seconds(second);
            while let Some(name) = schedule.take(now) {
                asked.push(second);
                // As where the question itself is seen, and its answer not read.
                schedule.once(name.clone(), now);
                schedule.answered(name.clone(), seconds(600), now);
                schedule.once(name, now);
            }
        }
        assert_eq!(asked, [0, 5, 10, 15]);
    }

    #[test]
    fn a_listed_name_is_brought_forward_but_not_below_the_floor_and_stays_listed() {
        let start = Instant::now();
        let mut schedule = asked(start);
        schedule.answered("a".into(), seconds(600), start);
        schedule.once("a".into(), start + seconds(1));
        assert_eq!(schedule.next_due(), Some(start + seconds(5)));
        schedule.once("a".into(), start + seconds(60));
        assert_eq!(schedule.next_due(), Some(start + seconds(5)), "never put off");
        assert_eq!(schedule.take(start + seconds(5)), Some("a".into()));
        assert_eq!(schedule.next_due(), None, "its old time is gone");
        schedule.answered("a".into(), seconds(600), start + seconds(5));
        assert_eq!(schedule.next_due(), Some(start + seconds(605)));
    }

    #[test]
    fn names_that_somebody_makes_up_are_bounded_and_keep_no_listed_one_out() {
        let now = Instant::now();
        let mut schedule = Schedule::new(["listed".into()], now);
        for i in 0..2 * MOST_ONCE {
            schedule.once(format!("made-up-{i}"), now);
        }
        let mut taken = Vec::new();
        while let Some(name) = schedule.take(now) {
            taken.push(name);
        }
        assert_eq!(taken.len(), MOST_ONCE + 1);
        assert!(taken.contains(&"listed".into()));
        for name in taken {
            schedule.answered(name, seconds(60), now);
        }
        schedule.once("no room yet".into(), now);
        assert_eq!(schedule.take(now + seconds(5)), None);
        schedule.once("room again".into(), now + seconds(5));
        assert_eq!(schedule.take(now + seconds(5)), Some("room again".into()));
    }
}
