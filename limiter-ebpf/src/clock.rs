//! The kernel's clocks, in nanoseconds of `CLOCK_MONOTONIC`.

#![expect(unsafe_code, reason = "asks the kernel for the time")]

use aya_ebpf::helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments, in every kernel that runs XDP.
    unsafe { bpf_ktime_get_ns() }
}

/// In steps of a few milliseconds: as of the last tick.
#[inline(always)]
pub fn coarse_now() -> u64 {
    // SAFETY: a helper without arguments (kernel 5.11).
    unsafe { bpf_ktime_get_coarse_ns() }
}
