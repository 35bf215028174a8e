//! The maps of open connections.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use limiter_common::maps::{MAX_KNOWN, MAX_OPEN, MAX_PENDING};
use limiter_common::open::{Count, Event, EventCounters, Key};
use limiter_common::sources::{Cell as _, WAYS};

use crate::atomics::Word;

// Not preallocated: it takes the memory of what it holds.
#[map]
static OPEN: HashMap<Key, Word> = HashMap::with_max_entries(MAX_OPEN, BPF_F_NO_PREALLOC);
#[map]
static PENDING: Array<[Word; WAYS]> = Array::with_max_entries(MAX_PENDING / WAYS as u32, BPF_F_MMAPABLE);
#[map]
static OPEN_EVENTS: PerCpuArray<EventCounters> = PerCpuArray::with_max_entries(1, 0);

#[map]
static KNOWN: Array<[Word; WAYS]> = Array::with_max_entries(MAX_KNOWN / WAYS as u32, BPF_F_MMAPABLE);

/// Written by the loader, before the kernel sees it.
#[unsafe(no_mangle)]
static NAMESPACE: u64 = 0;

/// Which set of [`pending`] a place is in, by its mask.
pub const PENDING_MASK: u32 = MAX_PENDING / WAYS as u32 - 1;

/// Which set of [`known`] a place is in, by its mask.
pub const KNOWN_MASK: u32 = MAX_KNOWN / WAYS as u32 - 1;

/// A set of sources that completed a handshake.
#[inline(always)]
pub fn known(set: u32) -> Option<&'static [Word; WAYS]> {
    KNOWN.get(set)
}

/// The count of a source's open connections.
#[inline(always)]
pub fn count(key: &Key) -> Option<&'static Word> {
    // SAFETY: one atomic word. Where it is another key's by now, that one is counted instead, until the next comparison.
    unsafe { OPEN.get(key) }
}

/// A source's open connections.
#[inline(always)]
pub fn open(key: &Key) -> u32 {
    count(key).map_or(0, |word| Count::from_bits(word.load()).open())
}

/// Gives a source a count; false where it has one, or the map is full.
#[inline(always)]
pub fn insert(key: &Key, count: Count) -> bool {
    OPEN.insert(key, Word::from(count.bits()), BPF_NOEXIST.into()).is_ok()
}

/// Forgets a source.
#[inline(always)]
pub fn remove(key: &Key) {
    // Where another CPU was faster there is nothing left to do.
    let _ = OPEN.remove(key);
}

/// A set of the table of pending handshakes.
#[inline(always)]
pub fn pending(set: u32) -> Option<&'static [Word; WAYS]> {
    PENDING.get(set)
}

/// The cookie of the network namespace whose connections are counted.
#[inline(always)]
pub fn namespace() -> u64 {
    // SAFETY: read-only data; volatile, because the loader changes it behind the compiler's back.
    unsafe { (&raw const NAMESPACE).read_volatile() }
}

#[inline(always)]
pub fn count_event(event: Event) {
    if let Some(counters) = OPEN_EVENTS.get_ptr_mut(0) {
        // SAFETY: this CPU's own element. A program that preempts another one here may lose a count to it.
        unsafe { (*counters).0[event as usize] += 1 };
    }
}
