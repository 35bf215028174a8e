//! Which names an address has: eight at most, each until its time runs out.
//!
//! Names are only ever added. One that is over its time limits on until another needs its place: a stale name limits,
//! a missing one would not. Where all eight are in use, a ninth is not taken, so nobody can push out a name by inventing
//! others for its address.

use crate::name::NameId;
use crate::sources::Overwrite;

/// Names of one address.
pub const NAMES: usize = 8;
/// The shortest time that a name is kept, in nanoseconds, whatever its TTL says.
pub const FLOOR: u64 = 30 * SECOND;
/// How long a name is kept beyond its TTL: applications keep addresses longer than they may.
pub const GRACE: u64 = 300 * SECOND;
/// The longest TTL that is believed (RFC 8767, 4 advises a week at most; here a day does).
const LONGEST: u64 = 24 * 3600 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// The names of an address as they lie in the map: [`NameId`]s, and until when, in nanoseconds of `CLOCK_MONOTONIC`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names {
    /// Names; 0 where there is none.
    pub ids: [u64; NAMES],
    /// When the name in the same place may be replaced.
    pub until: [u64; NAMES],
}

const _: () = assert!(size_of::<Names>() == 128);

/// The same while other CPUs change it.
#[repr(C)]
#[derive(Debug)]
pub struct SharedNames<C> {
    ids: [C; NAMES],
    until: [C; NAMES],
}

/// What became of a name that an address should get.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The address had it.
    Known = 0,
    /// The address has it now.
    New = 1,
    /// The address has as many as there is room for.
    Full = 2,
}

impl<C: Overwrite + From<u64>> SharedNames<C> {
    /// One name.
    #[inline(always)]
    pub fn one(id: NameId, until: u64) -> Self {
        // A zero that the compiler does not know: it would call memset(), one frame more than 6.1 has the stack for.
        let zero = core::hint::black_box(0_u64);
        let mut names =
            Self { ids: core::array::from_fn(|_| zero.into()), until: core::array::from_fn(|_| zero.into()) };
        names.ids[0] = id.bits().into();
        names.until[0] = until.into();
        names
    }
}

impl<C: From<u64>> Default for SharedNames<C> {
    #[inline(always)]
    fn default() -> Self {
        Self { ids: core::array::from_fn(|_| 0.into()), until: core::array::from_fn(|_| 0.into()) }
    }
}

impl<C: Overwrite> SharedNames<C> {
    /// The name in a place, if there is one.
    #[inline(always)]
    pub fn get(&self, place: usize) -> Option<NameId> {
        NameId::from_bits(self.ids[place & (NAMES - 1)].load())
    }

    /// Adds a name, or keeps it longer.
    #[inline(always)]
    pub fn learn(&self, id: NameId, now: u64, until: u64) -> Learned {
        for (known, time) in self.ids.iter().zip(&self.until) {
            if known.load() == id.bits() {
                if time.load() < until {
                    time.store(until);
                }
                return Learned::Known;
            }
        }
        for (known, time) in self.ids.iter().zip(&self.until) {
            let old = known.load();
            if old == 0 || time.load() < now {
                // First the time: whoever sees the new name must not find it over its time already.
                time.store(until);
                if known.compare_exchange(old, id.bits()) {
                    return Learned::New;
                }
            }
        }
        Learned::Full
    }
}

/// Until when an address learned at `now`, with a TTL in seconds, is kept.
#[inline(always)]
pub const fn until(now: u64, ttl: u32) -> u64 {
    let ttl = ttl as u64 * SECOND;
    let kept = if ttl < FLOOR {
        FLOOR
    } else if ttl > LONGEST {
        LONGEST
    } else {
        ttl
    };
    now + kept + GRACE
}

#[cfg(test)]
mod tests {
    use core::cell::Cell as StdCell;
    use std::vec::Vec;

    use super::*;
    use crate::name::{NameHash, NameId, NameSecret};

    impl Overwrite for StdCell<u64> {
        fn store(&self, new: u64) {
            self.set(new);
        }
    }

    const NOW: u64 = 1 << 40;

    fn id(name: &str) -> NameId {
        NameId::new(1, NameHash::of(&NameSecret::new([1, 2, 3, 4]), [name.as_bytes()]))
    }

    fn names() -> SharedNames<StdCell<u64>> {
        SharedNames::default()
    }

    fn all(names: &SharedNames<StdCell<u64>>) -> Vec<NameId> {
        (0..NAMES).filter_map(|place| names.get(place)).collect()
    }

    #[test]
    fn a_name_is_learned_once_and_kept_longer_each_time() {
        let names = names();
        assert_eq!(names.learn(id("a"), NOW, NOW + 10), Learned::New);
        assert_eq!(names.learn(id("a"), NOW, NOW + 30), Learned::Known);
        assert_eq!(names.learn(id("a"), NOW, NOW + 20), Learned::Known);
        assert_eq!((all(&names), names.until[0].get()), (std::vec![id("a")], NOW + 30));
    }

    #[test]
    fn a_ninth_name_pushes_nobody_out_until_one_is_over_its_time() {
        let names = names();
        for i in 0..NAMES {
            assert_eq!(names.learn(id(&std::format!("n{i}")), NOW, NOW + 100 + i as u64), Learned::New);
        }
        assert_eq!(names.learn(id("evil"), NOW, NOW + 500), Learned::Full);
        assert_eq!(names.learn(id("late"), NOW + 101, NOW + 500), Learned::New);
        assert!(!all(&names).contains(&id("n0")) && all(&names).contains(&id("late")));
        assert!(all(&names).contains(&id("n1")), "only the one that was over its time");
    }

    #[test]
    fn a_ttl_has_a_floor_a_cap_and_a_grace() {
        assert_eq!(until(0, 0), FLOOR + GRACE);
        assert_eq!(until(0, 3600), 3600 * SECOND + GRACE);
        assert_eq!(until(0, u32::MAX), LONGEST + GRACE);
    }
}
