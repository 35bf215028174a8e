//! One measurement: without limiterctl, or with it attached for so long, and its counters to tell what it did.

use std::cell::RefCell;

use anyhow::{Context as _, ensure};
use limiter_tests::wire::monotonic_ns;

use super::limiter::{Counted, Limiter, usual_answer};
use super::place::{ONE, Place, SPENT, Who};
use super::protocol::{Addresses, Done, Job};
use crate::packet::cost;

/// Never reached.
pub const PLENTY: &str = "10000000/s burst 100000000";
/// Never reached either; limits to be added.
pub const TRAFFIC: &str = ", packets 10000000/s burst 100000000, bytes 9 gbytes/second burst 9 gbytes";

/// How often an answer is observed in a measurement.
const ANSWERS: u32 = 200_000;

/// What limiterctl must have counted after so many calls.
pub type Expected = fn(u64) -> Counted;

/// Nothing: what sends nothing is only asked whether it may.
pub fn asked(_: u64) -> Counted {
    Counted::default()
}

/// Each call is a connection.
pub fn allowed(times: u64) -> Counted {
    Counted { allowed: times, ..Counted::default() }
}

/// All calls are one connection.
pub fn one_flow(_: u64) -> Counted {
    allowed(1)
}

/// Each call is refused.
pub fn refused(times: u64) -> Counted {
    Counted { refused: times, ..Counted::default() }
}

/// Each call is a query, and has an answer.
pub fn looked_up(times: u64) -> Counted {
    Counted { queries: times, answers: times, ..Counted::default() }
}

/// What comes of it without limiterctl.
pub fn unlimited(place: &Place, who: Who, job: &Job, to: Addresses, times: u32) -> anyhow::Result<Done> {
    let done = place.ask_of(who, job.clone(), to, times)?;
    ensure!(done.refused == 0, "somebody else refuses");
    Ok(done)
}

/// A place, and the limits that hold there for the time of a measurement.
pub struct Scene<'a> {
    place: &'a Place,
    limiter: RefCell<Limiter>,
}

impl<'a> Scene<'a> {
    /// limiterctl with limits on new connections, and more where wanted.
    pub fn new(place: &'a Place, traffic: &str) -> anyhow::Result<Self> {
        let mut limiter = Limiter::new(&format!("{PLENTY}{traffic}"))?;
        limiter.learn()?;
        Self::with(place, limiter)
    }

    /// limiterctl as it is.
    pub fn with(place: &'a Place, mut limiter: Limiter) -> anyhow::Result<Self> {
        let links = limiter.attach(&place.cgroup)?;
        let done = place.ask(Job::TcpConnect, SPENT, 3)?;
        ensure!(
            (done.ok, done.refused) == (2, 1),
            "of three connections {done:?} are those that two an hour leave"
        );
        drop(links);
        Ok(Self { place, limiter: limiter.into() })
    }

    /// Nanoseconds each; an error unless exactly so much was counted.
    pub fn measure(&self, job: &Job, to: Addresses, times: u32, expected: Expected) -> anyhow::Result<f64> {
        self.ask(Who::Rust, job, to, times, expected).map(|done| done.ns)
    }

    /// The same of either process, with all that it says.
    pub fn ask(
        &self,
        who: Who,
        job: &Job,
        to: Addresses,
        times: u32,
        expected: Expected,
    ) -> anyhow::Result<Done> {
        let mut limiter = self.limiter.try_borrow_mut()?;
        let links = limiter.attach(&self.place.cgroup)?;
        let before = limiter.counted()?;
        let done = self.place.ask_of(who, job.clone(), to, times)?;
        let counted = limiter.counted()? - before;
        let expected = expected(if matches!(job, Job::Bulk) { 1 } else { times.into() });
        // A full LRU hash may lose a flow between its call and its packet, and then it is charged once more.
        let lost =
            counted.allowed.checked_sub(expected.allowed).filter(|lost| lost * 1000 <= u64::from(times));
        let counted = Counted { allowed: lost.map_or(counted.allowed, |_| expected.allowed), ..counted };
        ensure!(counted == expected, "{job:?}: {counted:?} instead of {expected:?}");
        ensure!(done.refused == expected.refused, "{job:?}: {done:?}, and {counted:?}");
        // Who is only asked, and admitted, is not counted. That somebody was asked shows by who is refused.
        let probe = self.place.ask(Job::UdpConnect(None), SPENT, 1)?;
        ensure!(probe.refused == 1, "{job:?}: nobody was judged");
        drop(links);
        Ok(done)
    }

    /// Nanoseconds a KiB; an error unless the limits on packets and bytes were charged.
    pub fn bulk(&self, kibibytes: u32) -> anyhow::Result<f64> {
        let start = monotonic_ns();
        let ns = self.measure(&Job::Bulk, ONE, kibibytes, allowed)?;
        let has_weighed = self.limiter.try_borrow()?.has_weighed(ONE.first, start)?;
        ensure!(has_weighed, "no packet was weighed");
        Ok(ns)
    }

    /// Nanoseconds an answer, by `BPF_PROG_TEST_RUN` of the program that learns from answers which it is given.
    pub fn answer(&self) -> anyhow::Result<f64> {
        let mut limiter = self.limiter.try_borrow_mut()?;
        let frame = [&[0; 14], &usual_answer()[..]].concat();
        let before = limiter.counted()?;
        let program = limiter.programs().teach().fd().context("the program is not loaded")?;
        let ns = cost::nanoseconds(program, &frame, ANSWERS)?;
        // One more, by which the cost of the call is told.
        let counted = (limiter.counted()? - before).answers;
        ensure!(counted == u64::from(ANSWERS) + 1, "{counted} answers were learned from, of {ANSWERS} and 1");
        Ok(ns)
    }
}
