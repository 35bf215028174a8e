//! Where each source's state lives: sets of eight cells, a cache line each.
//!
//! A cell is 16 bits of tag and 48 bits of [`State`]. A source belongs to one set and takes any cell of it, so that
//! there is nothing to insert, to allocate or to lock, whether one source sends or 2^25 forged ones do.
//!
//! Who finds no cell takes that of the idlest, the one with the lowest time. An idle source loses nothing by it. A
//! source over its limit has a time further ahead than a newcomer's, so newcomers push each other out before it
//! (with a burst of 2 or more, or a back-off; with a burst of 1 the two are alike).
//!
//! Two sources of one set share a cell when their tags agree: with a set full of others, one newcomer in 8,192.

use crate::gcra::{MAX_HORIZON, State};

/// Cells in a set.
pub const WAYS: usize = 8;

/// A set as it lies in the map.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(pub [u64; WAYS]);

const _: () = assert!(size_of::<Set>() == 64);

/// A word of memory that all CPUs share.
pub trait Cell {
    /// Its value now.
    fn load(&self) -> u64;
    /// Makes it `new` if it still is `old`; says whether it did.
    fn compare_exchange(&self, old: u64, new: u64) -> bool;
}

/// A word that may also be overwritten, whatever it was.
pub trait Overwrite: Cell {
    /// Makes it `new`.
    fn store(&self, new: u64);
}

/// The cells of one set.
pub trait Cells {
    /// One of them.
    type Cell: Cell;
    /// All of them.
    fn cells(&self) -> &[Self::Cell; WAYS];
    /// Where the source with `tag` is, or may go.
    #[inline(always)]
    fn find(&self, tag: u16, now: u64) -> Found {
        find(self.cells(), tag, now)
    }
}

impl<C: Cell> Cells for [C; WAYS] {
    type Cell = C;
    fn cells(&self) -> &Self {
        self
    }
}

/// The cell for a source.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which cell of the set.
    pub index: usize,
    /// What it held when it was chosen.
    pub old: u64,
    /// Who has it.
    pub tenant: Tenant,
}

/// Who has the cell that a source gets.
#[repr(u64)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    /// The source itself.
    Same,
    /// Nobody, or a source that had been idle long enough to have its whole burst again.
    Idle,
    /// A source that had not.
    Active,
}

/// The cell of the source with `tag`, and what it holds; `None` where it has none.
#[inline(always)]
pub fn find_own<C: Cell>(cells: &[C; WAYS], tag: u16) -> Option<(&C, u64)> {
    cells.iter().map(|cell| (cell, cell.load())).find(|(_, content)| has_tag(*content, tag))
}

/// Finds the cell of the source with `tag`, or the one it may take.
#[inline(always)]
pub fn find<C: Cell>(cells: &[C; WAYS], tag: u16, now: u64) -> Found {
    for (index, cell) in cells.iter().enumerate() {
        let old = cell.load();
        if has_tag(old, tag) {
            return Found { index, old, tenant: Tenant::Same };
        }
    }
    let (mut index, mut old, mut least) = (0, 0, i64::MAX);
    for (i, cell) in cells.iter().enumerate() {
        let value = cell.load();
        let ahead = ahead(value, now);
        if ahead < least {
            (index, old, least) = (i, value, ahead);
        }
    }
    Found { index, old, tenant: if least > 0 { Tenant::Active } else { Tenant::Idle } }
}

/// The state of the source with `tag` in a cell that was found for it; idle where the cell is another's.
#[inline(always)]
pub const fn state(cell: u64, tag: u16, now: u64) -> State {
    if has_tag(cell, tag) { unpack(cell, now) } else { State::from_bits(now & !1) }
}

/// The state of the source with `tag` in a copy of its set; `None` where it has no cell.
pub fn find_state(set: &Set, tag: u16, now: u64) -> Option<State> {
    set.0.iter().find(|&&cell| has_tag(cell, tag)).map(|&cell| unpack(cell, now))
}

/// Whether a cell is that of the source with `tag`.
#[inline(always)]
pub const fn has_tag(cell: u64, tag: u16) -> bool {
    (cell >> TIME_BITS) as u16 == tag
}

/// How far a cell's time is ahead; idle cells first, empty and wrapped ones before all.
#[inline(always)]
const fn ahead(cell: u64, now: u64) -> i64 {
    let distance = unpack(cell, now).distance(now);
    if cell == 0 || distance > MAX_HORIZON as i64 { i64::MIN } else { distance }
}

/// A cell's content.
#[inline(always)]
pub const fn pack(tag: u16, state: State) -> u64 {
    (tag as u64) << TIME_BITS | state.bits() & TIME_MASK
}

/// The state in a cell: of all times with these lower 48 bits, the one nearest to `now`.
#[inline(always)]
pub const fn unpack(cell: u64, now: u64) -> State {
    let now = now & !1;
    let distance = ((cell << 16).wrapping_sub(now << 16) as i64) >> 16;
    State::from_bits(now.wrapping_add(distance as u64))
}

/// Whether a cell holds a source that has been idle at `now` for at least `age` nanoseconds.
pub const fn is_idle_for(cell: u64, now: u64, age: u64) -> bool {
    cell != 0 && unpack(cell, now).distance(now) <= -(age as i64)
}

const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

#[cfg(test)]
mod tests {
    use core::cell::Cell as StdCell;

    use super::*;

    impl Cell for StdCell<u64> {
        fn load(&self) -> u64 {
            self.get()
        }
        fn compare_exchange(&self, old: u64, new: u64) -> bool {
            let same = self.get() == old;
            if same {
                self.set(new);
            }
            same
        }
    }

    const NOW: u64 = 1 << 40;

    fn set(values: [u64; WAYS]) -> [StdCell<u64>; WAYS] {
        values.map(StdCell::new)
    }

    fn cell(tag: u16, ahead: i64) -> u64 {
        pack(tag, State::from_bits(NOW.wrapping_add_signed(ahead)))
    }

    fn place(found: Found) -> (usize, Tenant) {
        (found.index, found.tenant)
    }

    #[test]
    fn a_source_finds_its_own_cell() {
        let cells = set([0, cell(7, 10), cell(9, 20), 0, 0, 0, 0, 0]);
        assert_eq!(place(find(&cells, 9, NOW)), (2, Tenant::Same));
        assert_eq!(state(cells[2].get(), 9, NOW).distance(NOW), 20);
    }

    #[test]
    fn a_newcomer_takes_an_empty_cell_first() {
        let cells = set([cell(1, -500), cell(2, 10), 0, cell(4, 5), 0, 0, 0, 0]);
        assert_eq!(place(find(&cells, 9, NOW)), (2, Tenant::Idle));
        assert_eq!(state(cells[2].get(), 9, NOW).distance(NOW), 0);
    }

    #[test]
    fn a_newcomer_takes_the_idlest_and_says_whether_it_was_active() {
        let mut values: [u64; WAYS] = core::array::from_fn(|i| cell(i as u16 + 1, 100 + i as i64));
        values[5] = cell(6, 98);
        assert_eq!(place(find(&set(values), 99, NOW)), (5, Tenant::Active));
        values[3] = cell(4, -2);
        assert_eq!(place(find(&set(values), 99, NOW)), (3, Tenant::Idle));
    }

    #[test]
    fn a_wrapped_relic_is_taken_before_any_other() {
        let mut values: [u64; WAYS] = core::array::from_fn(|i| cell(i as u16 + 1, -1000 * (i as i64 + 1)));
        values[2] = cell(3, MAX_HORIZON as i64 + 2);
        assert_eq!(find(&set(values), 99, NOW).index, 2);
    }

    #[test]
    fn a_state_survives_48_bits_on_both_sides_of_a_wrap() {
        for now in [0, 2, 1 << 48, (1 << 48) - 2, 5 << 48, u64::MAX - 1] {
            for ahead in [0i64, 2, -2, 1 << 40, -(1 << 40), MAX_HORIZON as i64] {
                for mark in [0, 1] {
                    let state = State::from_bits(now.wrapping_add_signed(ahead) | mark);
                    assert_eq!(unpack(pack(1, state), now), state, "now {now} ahead {ahead}");
                }
            }
        }
    }

    #[test]
    fn idleness_is_measured_from_the_theoretical_arrival_time() {
        assert!(!is_idle_for(0, NOW, 0));
        assert!(!is_idle_for(cell(1, 10), NOW, 0));
        assert!(!is_idle_for(cell(1, -98), NOW, 100));
        assert!(is_idle_for(cell(1, -100), NOW, 100));
    }
}
