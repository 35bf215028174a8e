//! Sources that have completed a handshake lately. Nobody can forge that.
//!
//! They lie in sets of eight cells, as those of [`crate::sources`], whose time here is the one until which a
//! source is known. Only completed handshakes write them, so a forged flood pushes nobody out.

use crate::gate::TRIES;
use crate::gcra::State;
use crate::sources::{self, Cell as _, Cells, Tenant, WAYS};

/// How long a source is known after its last handshake, in nanoseconds.
pub const KNOWN_FOR: u64 = 3600 * SECOND;
/// A source that was met a moment ago is not written again.
const FRESH: u64 = 60 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// Whether the source with `tag` in `set` is known at `now`.
#[inline(always)]
pub fn is_known<S: Cells + ?Sized>(set: &S, tag: u16, now: u64) -> bool {
    sources::find_own(set.cells(), tag).is_some_and(|(_, content)| is_within(content, now, 0))
}

/// The source with `tag` in `set` has completed a handshake at `now`, or ended a connection.
#[inline(always)]
pub fn meet<S: Cells + ?Sized>(set: &S, tag: u16, now: u64) {
    for _ in 0..TRIES {
        let found = set.find(tag, now);
        let is_fresh = matches!(found.tenant, Tenant::Same) && is_within(found.old, now, KNOWN_FOR - FRESH);
        let next = sources::pack(tag, State::from_bits((now + KNOWN_FOR) & !1));
        if is_fresh || set.cells()[found.index & (WAYS - 1)].compare_exchange(found.old, next) {
            return;
        }
    }
}

/// Whether a cell's time is more than `least` ahead, and no further than one can be that was written: what lies
/// further ahead is long over, and its 48 bits have wrapped.
#[inline(always)]
const fn is_within(cell: u64, now: u64, least: u64) -> bool {
    let ahead = sources::unpack(cell, now).distance(now);
    ahead > least as i64 && ahead <= (KNOWN_FOR + FRESH) as i64
}

#[cfg(test)]
mod tests {
    use core::cell::Cell as StdCell;

    use super::*;

    const NOW: u64 = 1 << 44;

    fn set() -> [StdCell<u64>; WAYS] {
        core::array::from_fn(|_| StdCell::new(0))
    }

    #[test]
    fn a_source_is_known_for_an_hour_after_its_last_handshake() {
        let set = set();
        assert!(!is_known(&set, 7, NOW));
        meet(&set, 7, NOW);
        assert!(is_known(&set, 7, NOW + KNOWN_FOR - SECOND) && !is_known(&set, 8, NOW));
        meet(&set, 7, NOW + KNOWN_FOR / 2);
        assert!(is_known(&set, 7, NOW + KNOWN_FOR + SECOND));
        assert!(!is_known(&set, 7, NOW + 2 * KNOWN_FOR));
    }

    #[test]
    fn a_source_that_was_met_days_ago_does_not_come_back_by_itself() {
        for hours in 2..200 {
            let set = set();
            meet(&set, 7, NOW);
            let later = NOW + hours * 3600 * SECOND;
            // 2^48 nanoseconds are 78.2 hours: there a cell that nobody has swept means what it meant at first.
            let is_new_again = hours % 78 < 2;
            assert!(is_new_again || !is_known(&set, 7, later), "{hours} hours");
            meet(&set, 7, later);
            assert!(is_known(&set, 7, later + 1800 * SECOND), "{hours} hours");
        }
    }

    #[test]
    fn the_one_who_was_met_longest_ago_makes_room() {
        let set = set();
        for tag in 1..=9u16 {
            meet(&set, tag, NOW + u64::from(tag) * SECOND);
        }
        let now = NOW + 20 * SECOND;
        assert!(!is_known(&set, 1, now));
        assert!((2..=9).all(|tag| is_known(&set, tag, now)));
    }
}
