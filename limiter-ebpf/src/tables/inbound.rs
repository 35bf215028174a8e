//! The maps of the inbound program.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use limiter_common::key::Secret;
use limiter_common::maps::{DEFAULT_SOURCES, MAX_RULES};
use limiter_common::rule::{PortSet, Rule};
use limiter_common::sources::WAYS;
use limiter_common::verdict::{RuleCounters, Skip, SkipCounters};

use crate::atomics::Word;

// A map that can be mapped into user space starts on a page, and so each of its elements on a cache line.
#[map]
static PORTS: Array<PortSet> = Array::with_max_entries(PortSet::COUNT, BPF_F_MMAPABLE);
#[map]
static RULES: Array<Rule> = Array::with_max_entries(MAX_RULES, 0);
#[map]
static COUNTERS: PerCpuArray<RuleCounters> = PerCpuArray::with_max_entries(MAX_RULES, 0);
#[map]
static SKIPPED: PerCpuArray<SkipCounters> = PerCpuArray::with_max_entries(1, 0);
#[map]
static SOURCES: Array<[Word; WAYS]> =
    Array::with_max_entries(DEFAULT_SOURCES as u32 / WAYS as u32, BPF_F_MMAPABLE);
#[map]
static TOTALS: Array<[Word; WAYS]> = Array::with_max_entries(MAX_RULES, BPF_F_MMAPABLE);

/// The coarse clock as each CPU has read it last, and in which tick (`jiffies`).
#[map]
static COARSE_TIME: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(1, 0);

/// Written by the loader, before the kernel sees it.
#[unsafe(no_mangle)]
static SECRET: Secret = Secret([0; 6]);
#[unsafe(no_mangle)]
static SET_MASK: u32 = 0;

/// The number of the rule for a port; 0 where there is none.
#[inline(always)]
pub fn rule_number(port: u16) -> Option<u32> {
    PORTS.get(PortSet::index(port)).map(|set| set.rule(port))
}

#[inline(always)]
pub fn rule(number: u32) -> Option<&'static Rule> {
    RULES.get(number)
}

/// The eight cells of a set.
#[inline(always)]
pub fn cells(set: u32) -> Option<&'static [Word; WAYS]> {
    SOURCES.get(set)
}

/// What sources of a rule share, as in [`limiter_common::gate::Total`].
#[inline(always)]
pub fn shared(rule: u32) -> Option<&'static [Word; WAYS]> {
    TOTALS.get(rule)
}

#[inline(always)]
pub fn secret() -> &'static Secret {
    // A reference that the compiler cannot see through: else it would take the zeroes above for the value.
    core::hint::black_box(&SECRET)
}

#[inline(always)]
pub fn set_mask() -> u32 {
    // SAFETY: read-only data; volatile, because the loader changes it behind the compiler's back.
    unsafe { (&raw const SET_MASK).read_volatile() }
}

/// `CLOCK_MONOTONIC` as of the last tick or the one before, in nanoseconds.
///
/// That helper calls two functions, and `jiffies` is a word of memory that the kernel goes on to count before it sets the
/// clock (`tick_do_update_jiffies64`).
#[inline(always)]
pub fn coarse_time() -> u64 {
    // SAFETY: helpers without arguments (kernels 5.6 and 5.11).
    let (tick, read) = unsafe { (bpf_jiffies64(), || bpf_ktime_get_coarse_ns()) };
    let Some(seen) = COARSE_TIME.get_ptr_mut(0) else { return read() };
    // SAFETY: this CPU's own element, and nothing else that reads the clock so runs on it meanwhile: XDP runs with softirqs
    // off.
    unsafe {
        if (&raw const (*seen)[0]).read_volatile() == tick {
            return (&raw const (*seen)[1]).read_volatile();
        }
        let time = read();
        // In this order, so that no time is taken for one of a later tick.
        (&raw mut (*seen)[1]).write_volatile(time);
        (&raw mut (*seen)[0]).write_volatile(tick);
        time
    }
}

/// Changes this CPU's counters of a rule.
#[inline(always)]
pub fn count(rule: u32, change: impl FnOnce(&mut RuleCounters)) {
    if let Some(counters) = COUNTERS.get_ptr_mut(rule) {
        // SAFETY: this CPU's own element. XDP runs with softirqs off, and only sock_ops may lose a count to it.
        change(unsafe { &mut *counters });
    }
}

/// Counts a packet that passes unjudged.
#[inline(always)]
pub fn count_skip(skip: Skip) {
    if skip.is_counted()
        && let Some(counters) = SKIPPED.get_ptr_mut(0)
    {
        // SAFETY: as in `count`, and XDP is alone here.
        unsafe { (*counters).0[skip as usize] += 1 };
    }
}
