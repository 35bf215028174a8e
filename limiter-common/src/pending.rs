//! Handshakes that a source has begun and not ended: SYNs that were let through a moment ago.
//!
//! A cell is 16 bits of tag, 16 of the window in which it was charged last, and 16 bits each of what was charged in the
//! window before and in that one. A window is 2.1 seconds of `CLOCK_MONOTONIC`. What was charged in this window or the
//! last one is pending; so a handshake that never ends is forgotten after 2.1 to 4.3 seconds, and nobody has to take it
//! away.
//!
//! Cells lie in sets of eight, as those of [`sources`](crate::sources). Who finds no cell takes one that has expired,
//! or else the one with the fewest handshakes.

use crate::gate::TRIES;
use crate::sources::{Cell, WAYS};

/// A window is two to the power of this, in nanoseconds.
const WINDOW: u32 = 31;

/// The longest that a handshake is pending, in nanoseconds.
pub const LONGEST: u64 = 2 << WINDOW;

/// The cells of one set.
pub trait Cells {
    /// One of them.
    type Cell: Cell;
    /// All of them.
    fn cells(&self) -> &[Self::Cell; WAYS];
    /// Which of them the source with `tag` has, or may take.
    #[inline(always)]
    fn find(&self, tag: u16, now: u64) -> usize {
        find(self.cells(), tag, now)
    }
}

impl<C: Cell> Cells for [C; WAYS] {
    type Cell = C;
    fn cells(&self) -> &Self {
        self
    }
}

/// Which cell the source with `tag` has, or may take.
#[inline(always)]
pub fn find<C: Cell>(cells: &[C; WAYS], tag: u16, now: u64) -> usize {
    let (mut index, mut least) = (0, u32::MAX);
    for (i, cell) in cells.iter().enumerate() {
        let value = cell.load();
        if has_tag(value, tag) {
            return i;
        }
        let load = load(value, now);
        if load < least {
            (index, least) = (i, load);
        }
    }
    index
}

/// How many handshakes of the source with `tag` are pending by its cell; none where it is another's.
#[inline(always)]
pub const fn count(cell: u64, tag: u16, now: u64) -> u32 {
    if has_tag(cell, tag) { load(cell, now) } else { 0 }
}

/// The cell after one more SYN of the source with `tag`.
#[inline(always)]
pub const fn passed(cell: u64, tag: u16, now: u64) -> u64 {
    let (before, current) = if has_tag(cell, tag) { charged(cell, now) } else { (0, 0) };
    pack(tag, now, before, current.saturating_add(1))
}

/// The cell after a handshake ended; the oldest is taken for it.
#[inline(always)]
pub const fn established(cell: u64, tag: u16, now: u64) -> u64 {
    match charged(cell, now) {
        (0, current) => pack(tag, now, 0, current.saturating_sub(1)),
        (before, current) => pack(tag, now, before - 1, current),
    }
}

/// Takes a handshake of the source with `tag` away from what is pending; false where other CPUs changed its cell in
/// every try.
#[inline(always)]
pub fn settle<S: Cells + ?Sized>(set: &S, tag: u16, now: u64) -> bool {
    for _ in 0..TRIES {
        let cell = &set.cells()[set.find(tag, now) & (WAYS - 1)];
        let old = cell.load();
        if count(old, tag, now) == 0 || cell.compare_exchange(old, established(old, tag, now)) {
            return true;
        }
    }
    false
}

/// Whether nothing in a cell counts any more.
#[inline(always)]
pub const fn is_over(cell: u64, now: u64) -> bool {
    load(cell, now) == 0
}

#[inline(always)]
const fn has_tag(cell: u64, tag: u16) -> bool {
    (cell >> 48) as u16 == tag
}

#[inline(always)]
const fn load(cell: u64, now: u64) -> u32 {
    let (before, current) = charged(cell, now);
    before as u32 + current as u32
}

/// What was charged in the window before that of `now`, and in that one.
#[inline(always)]
const fn charged(cell: u64, now: u64) -> (u16, u16) {
    let (before, current) = ((cell >> 16) as u16, cell as u16);
    match window(now).wrapping_sub((cell >> 32) as u16) {
        // At the most, another CPU read the clock a moment later, and has begun the next window.
        0 | u16::MAX => (before, current),
        1 => (current, 0),
        _ => (0, 0),
    }
}

#[inline(always)]
const fn window(now: u64) -> u16 {
    (now >> WINDOW) as u16
}

#[inline(always)]
const fn pack(tag: u16, now: u64, before: u16, current: u16) -> u64 {
    (tag as u64) << 48 | (window(now) as u64) << 32 | (before as u64) << 16 | current as u64
}

#[cfg(test)]
mod tests {
    use core::cell::Cell as StdCell;

    use super::*;

    const ONE: u64 = 1 << WINDOW;
    /// The beginning of a window.
    const NOW: u64 = 1 << 44;
    const TAG: u16 = 7;

    fn set(values: [u64; WAYS]) -> [StdCell<u64>; WAYS] {
        values.map(StdCell::new)
    }

    fn charged_at(times: &[u64]) -> u64 {
        times.iter().fold(0, |cell, &now| passed(cell, TAG, now))
    }

    #[test]
    fn a_handshake_counts_in_its_window_and_the_next_one_and_then_no_more() {
        for (at, ends) in [(NOW, NOW + 2 * ONE), (NOW + ONE - 1, NOW + 2 * ONE)] {
            let cell = charged_at(&[at]);
            assert_eq!(count(cell, TAG, at), 1);
            assert_eq!(count(cell, TAG, ends - 1), 1);
            assert_eq!(count(cell, TAG, ends), 0);
            assert!(is_over(cell, ends) && !is_over(cell, ends - 1));
        }
        assert_eq!(LONGEST, 2 * ONE);
    }

    #[test]
    fn both_windows_count_together() {
        let cell = charged_at(&[NOW, NOW, NOW + ONE]);
        assert_eq!(count(cell, TAG, NOW + ONE), 3);
        assert_eq!(count(cell, TAG, NOW + 2 * ONE), 1);
        assert_eq!(count(passed(cell, TAG, NOW + 5 * ONE), TAG, NOW + 5 * ONE), 1);
    }

    #[test]
    fn what_is_established_takes_the_oldest_and_never_more_than_there_is() {
        let cell = established(charged_at(&[NOW, NOW + ONE]), TAG, NOW + ONE);
        assert_eq!((count(cell, TAG, NOW + ONE), count(cell, TAG, NOW + 2 * ONE)), (1, 1));
        let none = established(established(cell, TAG, NOW + ONE), TAG, NOW + ONE);
        assert_eq!(count(none, TAG, NOW + ONE), 0);
    }

    #[test]
    fn a_clock_that_is_a_window_behind_forgets_nothing() {
        let cell = charged_at(&[NOW, NOW + ONE]);
        assert_eq!(count(cell, TAG, NOW + ONE - 1), 2);
    }

    #[test]
    fn counts_stop_at_the_most_that_a_cell_holds() {
        let cell = (0..70_000).fold(0, |cell, _| passed(cell, TAG, NOW));
        assert_eq!(count(cell, TAG, NOW), u16::MAX.into());
    }

    #[test]
    fn a_newcomer_takes_what_has_expired_and_else_the_fewest_handshakes() {
        let cell = |tag, times: u64, at| (0..times).fold(0, |cell, _| passed(cell, tag, at));
        let mut values: [u64; WAYS] = core::array::from_fn(|i| cell(i as u16 + 1, 10 + i as u64, NOW));
        assert_eq!(find(&set(values), 99, NOW), 0);
        assert_eq!(find(&set(values), 5, NOW), 4);
        values[6] = cell(7, 50, NOW - 2 * ONE);
        assert_eq!(find(&set(values), 99, NOW), 6);
        assert_eq!(count(values[6], 99, NOW), 0);
        assert_eq!(count(passed(values[6], 99, NOW), 99, NOW), 1);
    }

    #[test]
    fn only_the_sources_own_handshakes_are_settled() {
        let cells = set([charged_at(&[NOW]), 0, 0, 0, 0, 0, 0, 0]);
        assert!(settle(&cells, 8, NOW));
        assert_eq!(count(cells[0].get(), TAG, NOW), 1);
        assert!(settle(&cells, TAG, NOW));
        assert_eq!(count(cells[0].get(), TAG, NOW), 0);
    }
}
