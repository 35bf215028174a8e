//! The clock that the programs in the kernel read.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`), in nanoseconds.
pub fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
