//! Words of map memory that all CPUs share. The only atomics of the kernel half.
//!
//! `core::sync::atomic` has no compare-and-swap for this target, so it is the compiler's intrinsic, always with
//! sequential consistency. The BPF instruction is `r0 = cmpxchg_64(...)`, in kernels since 5.12.
//!
//! Additions hand nothing back: of a relaxed one whose result is used, the compiler makes an instruction that has none,
//! without a word.

#![expect(unsafe_code, reason = "the room of atomics")]

use core::cell::UnsafeCell;
use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use limiter_common::sources::{Cell, Overwrite};

/// A 64-bit word of map memory, aligned to 8 bytes.
#[repr(transparent)]
pub struct Word(UnsafeCell<u64>);

// SAFETY: every access below is one instruction: a load, a store, an addition or a compare-and-swap.
unsafe impl Sync for Word {}

impl Cell for Word {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: the word is aligned, as what lies in maps is, and its memory stays for as long as the program runs; the
        // kernel's JITs load it in one instruction.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    fn compare_exchange(&self, old: u64, new: u64) -> bool {
        const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
        // SAFETY: as for `load`.
        unsafe { atomic_cxchg::<u64, { ORDER }, { ORDER }>(self.0.get(), old, new).1 }
    }
}

impl Overwrite for Word {
    #[inline(always)]
    fn store(&self, new: u64) {
        // SAFETY: as for `load`, and they store it in one as well.
        unsafe { self.0.get().write_volatile(new) }
    }
}

impl From<u64> for Word {
    #[inline(always)]
    fn from(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }
}

impl Word {
    pub const fn zero() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// Counts one more.
    #[inline(always)]
    pub fn increment(&self) {
        // SAFETY: as for `load`.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(self.0.get(), 1) };
    }
}
