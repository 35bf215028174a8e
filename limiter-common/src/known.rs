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
    let found = set.find(tag, now);
    matches!(found.tenant, Tenant::Same) && remaining(found.old, now) > 0
}

/// The source with `tag` in `set` has completed a handshake at `now`, or ended a connection.
#[inline(always)]
pub fn meet<S: Cells + ?Sized>(set: &S, tag: u16, now: u64) {
    for _ in 0..TRIES {
        let found = set.find(tag, now);
        let is_fresh =
            matches!(found.tenant, Tenant::Same) && remaining(found.old, now) > (KNOWN_FOR - FRESH) as i64;
        let next = sources::pack(tag, State::from_bits((now + KNOWN_FOR) & !1));
        if is_fresh || set.cells()[found.index & (WAYS - 1)].compare_exchange(found.old, next) {
            return;
        }
    }
}

#[inline(always)]
const fn remaining(cell: u64, now: u64) -> i64 {
    sources::unpack(cell, now).distance(now)
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
