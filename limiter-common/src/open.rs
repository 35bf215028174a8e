//! How many connections a source holds open, and whether it may have one more.
//!
//! A connection that the kernel has established is in its source's [`Count`]; a SYN that was let through and has not
//! become a connection yet is [`crate::pending`]. Together they must stay below the rule's `max_open` for one
//! more SYN to pass.

use crate::gate::TRIES;
use crate::key::Address;
use crate::pending::{self, Cells};
use crate::sources::{Cell as _, WAYS};
use crate::verdict::{Reason, Verdict};

/// Whose connections a count is of.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The rule's number.
    pub rule: u32,
    /// Zero.
    pub reserved: u32,
    /// The source, masked to its rule's prefix.
    pub source: Address,
}

const _: () = assert!(size_of::<Key>() == 24);

/// How many connections of a source are open, and how often that changed.
///
/// The changes, modulo 2^32, tell a count that has stayed the same from one that came back to what it was.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(u64);

impl Count {
    /// No connection. `seed` is where its changes are counted from: a new one should not look like one that was there
    /// before.
    #[inline(always)]
    pub const fn none(seed: u32) -> Self {
        Self((seed as u64) << CHANGES)
    }

    /// From its word in the map.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its word in the map.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Open connections.
    #[inline(always)]
    pub const fn open(self) -> u32 {
        self.0 as u32
    }

    /// One more.
    #[inline(always)]
    #[must_use]
    pub const fn opened(self) -> Self {
        self.changed_to(self.open().saturating_add(1))
    }

    /// One less, or none: a connection may end that was never counted.
    #[inline(always)]
    #[must_use]
    pub const fn closed(self) -> Self {
        self.changed_to(self.open().saturating_sub(1))
    }

    /// So many, as counted otherwise.
    #[inline(always)]
    #[must_use]
    pub const fn changed_to(self, open: u32) -> Self {
        let changes = ((self.0 >> CHANGES) as u32).wrapping_add(1);
        Self((changes as u64) << CHANGES | open as u64)
    }
}

const CHANGES: u32 = 32;

/// Whether a source with so many connections open and so many pending may have one more.
#[inline(always)]
pub const fn admit(max_open: u32, open: u32, pending: u32) -> bool {
    open.saturating_add(pending) < max_open
}

/// Whether a SYN is only asked about, or is pending from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Nothing changes.
    Ask,
    /// Where it passes, it counts.
    Charge,
}

/// Judges a SYN at `now` of the source whose place in `set` has this `tag`; `open` tells its open connections.
///
/// What is pending is read before what is open. A handshake that ends is first counted as open and then taken away from
/// what is pending: so it is counted once or, for an instant, twice, and never not at all. For the same reason the cell
/// must not have changed when the SYN is charged. It may have changed and come back meanwhile; so all is looked at once
/// more afterwards, and the place given back where there was none.
#[inline(always)]
pub fn judge<S: Cells + ?Sized>(
    max_open: u32,
    open: impl Fn() -> u32,
    set: &S,
    tag: u16,
    now: u64,
    pass: Pass,
) -> Verdict {
    for _ in 0..TRIES {
        let cell = &set.cells()[set.find(tag, now) & (WAYS - 1)];
        let old = cell.load();
        if !admit(max_open, open(), pending::count(old, tag, now)) {
            return Verdict::Refuse(Reason::Open);
        }
        if matches!(pass, Pass::Ask) {
            return Verdict::Pass;
        }
        if cell.compare_exchange(old, pending::passed(old, tag, now)) {
            let pending = pending::count(cell.load(), tag, now);
            return if open().saturating_add(pending) <= max_open {
                Verdict::Pass
            } else {
                pending::settle(set, tag, now);
                Verdict::Refuse(Reason::Open)
            };
        }
    }
    Verdict::Refuse(Reason::Contention)
}

/// What else is counted beside the rules.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A connection that was established.
    Opened = 0,
    /// A counted connection that ended.
    Closed = 1,
    /// The table of counts was full: a connection is not counted.
    Full = 2,
    /// Other CPUs changed the same count in every try: a connection, or its end, is not counted.
    Contention = 3,
    /// A connection to a limited port in another network namespace. It is not counted.
    OtherNamespace = 4,
    /// A count that differed from the kernel's list of sockets, and was corrected.
    Healed = 5,
}

impl Event {
    /// All, in the order of their counters.
    pub const ALL: [Self; 6] =
        [Self::Opened, Self::Closed, Self::Full, Self::Contention, Self::OtherNamespace, Self::Healed];

    /// The word for it in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Full => "table_full",
            Self::Contention => "contention",
            Self::OtherNamespace => "other_namespace",
            Self::Healed => "healed",
        }
    }
}

/// What one CPU counted beside the rules, by [`Event`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCounters(pub [u64; Event::ALL.len()]);

/// Has a count corrected, where it still is what it was when it was found wrong.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// Whose.
    pub key: Key,
    /// Its word then; [`Correction::ABSENT`] where there was none.
    pub expected: u64,
    /// Its word from now on.
    pub next: u64,
    /// 1 where that is an [`Event::Healed`].
    pub counted: u64,
}

const _: () = assert!(size_of::<Correction>() == 48);

impl Correction {
    /// In place of a word: there is none.
    pub const ABSENT: u64 = u64::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_goes_up_and_down_and_never_below_nothing() {
        let count = Count::none(u32::MAX).opened().opened();
        assert_eq!(count.open(), 2);
        let count = count.closed().closed();
        assert_eq!(count.open(), 0);
        assert_eq!(count.closed().open(), 0);
        assert_eq!(count.closed().opened().open(), 1);
    }

    #[test]
    fn a_count_that_comes_back_is_not_the_same_word() {
        let before = Count::none(7).opened();
        let after = before.opened().closed();
        assert_eq!(before.open(), after.open());
        assert_ne!(before.bits(), after.bits());
        let clamped = Count::none(7).closed();
        assert_ne!(clamped.bits(), Count::none(7).bits());
    }

    #[test]
    fn both_what_is_open_and_what_is_pending_count() {
        assert!(admit(15, 14, 0) && admit(15, 0, 14) && admit(15, 7, 7));
        assert!(!admit(15, 15, 0) && !admit(15, 0, 15) && !admit(15, 8, 7));
        assert!(!admit(15, u32::MAX, 1));
    }

    #[test]
    fn every_event_has_the_counter_of_its_own_number() {
        for (i, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, i);
        }
    }
}
