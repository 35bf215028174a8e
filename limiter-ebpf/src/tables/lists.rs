//! The maps of listed prefixes.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use limiter_common::key::Address;
use limiter_common::lists::{BLOCKS, Entry, GENERATIONS, Key, LENGTHS, Listed, Lists, Part, SCOPES};
use limiter_common::maps::MAX_PREFIXES;
use limiter_common::sources::Cell as _;

use crate::atomics::Word;
use crate::boundary::lists as boundary;

/// Bits of a word.
const BITS: u32 = u64::BITS;

#[map]
static PREFIXES: HashMap<Key, Entry> =
    HashMap::with_max_entries(GENERATIONS * MAX_PREFIXES, BPF_F_NO_PREALLOC);
#[map]
static PREFIX_LENGTHS: Array<[Word; LENGTHS]> = Array::with_max_entries(GENERATIONS * SCOPES, BPF_F_MMAPABLE);
#[map]
static PREFIX_BLOCKS: Array<Word> = Array::with_max_entries(GENERATIONS * BLOCKS / BITS, BPF_F_MMAPABLE);
#[map]
static PREFIX_STATE: Array<Word> = Array::with_max_entries(1 + GENERATIONS, BPF_F_MMAPABLE);

/// One generation of the lists.
#[derive(Clone, Copy)]
pub struct Generation(u32);

impl Generation {
    /// The one that holds; `None` where nothing is listed.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        match PREFIX_STATE.get(0)?.load() {
            1 => Some(Self(1)),
            2 => Some(Self(2)),
            _ => None,
        }
    }

    /// The one with this number.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    #[inline(always)]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether some prefix may lie in a block.
    #[inline(always)]
    pub fn has_block(self, block: u32) -> bool {
        let word = (self.0 - 1) * (BLOCKS / BITS) + block / BITS;
        PREFIX_BLOCKS.get(word).is_some_and(|word| word.load() >> (block % BITS) & 1 != 0)
    }

    /// Whether some IPv6 prefix is so short that it sets no bits.
    #[inline(always)]
    pub fn is_broad(self) -> bool {
        PREFIX_STATE.get(self.0).is_some_and(|word| word.load() != 0)
    }
}

impl Lists for Generation {
    #[inline(always)]
    fn lengths(&self, scope: u32, word: usize) -> u64 {
        let words = PREFIX_LENGTHS.get((self.0 - 1) * SCOPES + scope);
        words.and_then(|words| words.get(word)).map_or(0, limiter_common::sources::Cell::load)
    }

    #[inline(always)]
    fn entry(&self, scope: u32, length: u32, network: &Address) -> Option<Entry> {
        let key = Key { generation: self.0 as u16, scope: scope as u16, length, network: *network };
        // SAFETY: integers, copied at once. What is taken off a list meanwhile may be found as what is put on one, once.
        unsafe { PREFIXES.get(key) }.copied()
    }

    #[inline(always)]
    fn find_lengths(&self, scope: u32, part: Part, source: &Address, now: u64) -> Option<Listed> {
        boundary::find_lengths(*self, scope, part, source, now)
    }
}
