//! The map of desks, and what leaves them.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, RingBuf};
use limiter_common::dns::{Unread, Walk};
use limiter_common::maps::{MAX_UNREAD_NAMES, MAX_WALKS};
use limiter_common::name::NameId;
use limiter_common::outbound::tables::{Event, HostName, Query, QueryKey, UnreadName};
use limiter_common::sources::{Cell as _, Overwrite as _};

use super::outbound::{count_event, host, insert_host};
use crate::atomics::Word;

#[map]
static WALKS: Array<Desk> = Array::with_max_entries(MAX_WALKS, 0);
#[map]
static UNREAD_NAMES: RingBuf = RingBuf::with_byte_size(MAX_UNREAD_NAMES, 0);

/// A place to read a message at, for one program at a time.
///
/// Not one for each CPU: a program that sends runs in a process, and may be preempted or interrupted by another one
/// that receives.
#[repr(C)]
pub struct Desk {
    /// 1 while somebody is at it.
    taken: Word,
    pub walk: Walk,
    /// What goes into the table of queries; here, because the stack is short.
    pub noted: (QueryKey, Query),
    /// What goes into the table of names.
    host: HostName,
    /// What goes to the daemon.
    unread: UnreadName,
}

/// How many desks are tried.
const TRIES: u32 = 8;

impl Desk {
    /// One that nobody is at.
    #[inline(always)]
    pub fn take() -> Option<*mut Self> {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        for attempt in 0..TRIES {
            let desk = WALKS.get_ptr_mut((cpu * TRIES + attempt) % MAX_WALKS)?;
            // SAFETY: an element of an array; of what others may be writing, only that word is touched.
            if unsafe { (*desk).taken.compare_exchange(0, 1) } {
                return Some(desk);
            }
        }
        None
    }

    /// Leaves it.
    #[inline(always)]
    pub fn leave(&self) {
        // It is taken, so this never fails. A plain store could be seen before what was written here (arm64).
        let _ = self.taken.compare_exchange(1, 0);
    }

    /// Puts the name that was read here into the table of names, or notes that it was resolved again.
    #[inline(always)]
    pub fn keep_name(&mut self, id: NameId, now: u64) {
        if let Some(known) = host(id) {
            known.resolved.store(now);
            return;
        }
        let (text, length) = self.walk.text();
        self.host.text = *text;
        self.host.length = length.into();
        (self.host.allowed, self.host.refused, self.host.resolved) = (0, 0, now);
        if insert_host(id, &self.host) {
            count_event(Event::NameLearned);
        }
    }

    /// Hands the name that was read here over to the daemon.
    #[inline(always)]
    pub fn hand_over(&mut self, why: Unread) {
        let (text, length) = self.walk.text();
        self.unread.text = *text;
        (self.unread.reason, self.unread.length) = (why as u32, length);
        let name: &UnreadName = &self.unread;
        let event = match UNREAD_NAMES.output::<UnreadName>(name, 0) {
            Ok(()) => Event::HandedOver,
            Err(_) => Event::HandoverLost,
        };
        count_event(event);
    }
}
