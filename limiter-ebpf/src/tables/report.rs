//! The maps by which the daemon learns of refusals.

use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, RingBuf};
use limiter_common::maps::MAX_REPORTS;
use limiter_common::report::{LOST, REPORTED as DONE, Report, SLOTS};
use limiter_common::sources::{Cell as _, Overwrite as _};

use crate::atomics::Word;

#[map]
static REPORTS: RingBuf = RingBuf::with_byte_size(MAX_REPORTS, 0);
#[map]
static REPORTED: Array<Word> = Array::with_max_entries(2 * SLOTS, 0);
#[map]
static REPORTS_COUNTED: Array<Word> = Array::with_max_entries(2, 0);

/// The tick in which a SYN was looked at last for a report. One word for all CPUs, which read it without a look into a map,
/// and write it once a tick.
static TICK: Line = Line { word: Word::zero() };

/// Alone on its cache line.
#[repr(C, align(64))]
struct Line {
    word: Word,
}

/// Whether `jiffies` has moved on since a SYN was looked at; then that is noted.
#[inline(always)]
pub fn is_next_tick() -> bool {
    // SAFETY: a helper without arguments (kernel 5.6).
    let tick = unsafe { bpf_jiffies64() };
    if TICK.word.load() == tick {
        return false;
    }
    TICK.word.store(tick);
    true
}

/// When somebody in this slot was reported last, in nanoseconds.
#[inline(always)]
pub fn last(slot: u32) -> Option<&'static Word> {
    REPORTED.get(slot)
}

/// Hands a report to the daemon; where there is no room for it, it is counted as lost.
#[inline(always)]
pub fn submit(report: Report) {
    let counter = match REPORTS.reserve::<Report>(0) {
        Some(mut entry) => {
            entry.write(report);
            entry.submit(0);
            DONE
        }
        None => LOST,
    };
    if let Some(counter) = REPORTS_COUNTED.get(counter) {
        counter.increment();
    }
}
