//! The clock of the tests, and its relation to that of packet sockets.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const MILLISECOND: u64 = 1_000_000;

/// Now, by `CLOCK_MONOTONIC`: what `bpf_ktime_get_ns` returns.
pub fn monotonic_ns() -> u64 {
    now(ClockId::CLOCK_MONOTONIC)
}

/// Sleeps until that time of `CLOCK_MONOTONIC` has come; not at all where it has passed, shorter where a signal comes.
pub fn sleep_until(ns: u64) {
    let time = TimeSpec::new((ns / SECOND) as i64, (ns % SECOND) as i64);
    // A signal may end it early; the callers look at the clock again.
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &time);
}

/// The monotonic time at which the wall clock showed that recent time: packet sockets stamp frames with the latter.
pub(super) fn monotonic_from_wall(wall: TimeSpec) -> u64 {
    let age = now(ClockId::CLOCK_REALTIME).saturating_sub(nanoseconds(wall));
    monotonic_ns().saturating_sub(age)
}

fn now(clock: ClockId) -> u64 {
    nanoseconds(clock_gettime(clock).expect("Linux has this clock"))
}

fn nanoseconds(time: TimeSpec) -> u64 {
    time.tv_sec() as u64 * SECOND + time.tv_nsec() as u64
}
