//! Prefixes whose sources are allowed or denied whatever the limits say.
//!
//! A prefix is an entry of a hash table, and a source is looked up once for each length that some entry has. So that
//! sources far from any prefix pay nothing of that, a table of bits says which blocks of addresses have an entry: for IPv4
//! each /24 has a bit of its own, for IPv6 each /32 has one that it may share with others.
//!
//! There are two generations of all of it. A packet reads once which of them holds, so that a list that is replaced is
//! replaced for it as a whole.

use crate::key::Address;

/// Generations; 0 in place of one says that nothing is listed.
pub const GENERATIONS: u32 = 2;
/// Scopes: 0 is every rule, others are the rule with that number.
pub const SCOPES: u32 = 256;
/// The scope of every rule.
pub const EVERY_RULE: u32 = 0;
/// In place of a time: for ever.
pub const FOREVER: u64 = u64::MAX >> 1;
/// Blocks of addresses with a bit each.
pub const BLOCKS: u32 = 1 << 24;
/// IPv6 prefixes shorter than this set no bits; then every IPv6 source is looked up.
pub const BROAD: u32 = 24;
/// The shortest IPv6 prefix that lies in one block.
pub const BLOCK_V6: u32 = 32;
/// The same for IPv4.
pub const BLOCK_V4: u32 = 24;
/// Bits before the IPv4 address in its mapped form.
const MAPPED: u32 = 96;
/// The length of one address.
const WHOLE: u32 = 128;

/// A prefix in a list.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// 1 or 2.
    pub generation: u16,
    /// Where it holds: [`EVERY_RULE`], or a rule's number.
    pub scope: u16,
    /// How many bits of `network` count; those of an IPv4 prefix, and 96.
    pub length: u32,
    /// The address; all other bits are zero.
    pub network: Address,
}

const _: () = assert!(size_of::<Key>() == 24);

/// Until when it is on which list, in nanoseconds of `CLOCK_MONOTONIC`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// 0 where it is not allowed.
    pub allowed_until: u64,
    /// 0 where it is not denied.
    pub denied_until: u64,
}

const _: () = assert!(size_of::<Entry>() == 16);

/// Which lengths the prefixes of a scope have, a bit each: those of IPv4 in the first word, then those of IPv6.
pub const LENGTHS: usize = 4;

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// It passes, and no limit looks at it.
    Allowed,
    /// It is refused.
    Denied,
}

/// One generation.
pub trait Lists {
    /// One of the [`LENGTHS`] words of a scope.
    fn lengths(&self, scope: u32, word: usize) -> u64;
    /// The entry of a prefix.
    fn entry(&self, scope: u32, length: u32, network: &Address) -> Option<Entry>;
    /// As [`find_lengths`].
    #[inline(always)]
    fn find_lengths(&self, scope: u32, part: Part, source: &Address, now: u64) -> Option<Listed> {
        find_lengths(self, scope, part, source, now)
    }
}

/// Half of one of the [`LENGTHS`] words.
///
/// Halves are looked at one by one: the verifier follows a loop of 32 turns in half the time of one of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The length that its lowest bit stands for.
    pub first: u32,
    /// Its bits.
    pub lengths: u32,
}

/// Looks a source up in one scope. An entry that allows wins over all that deny.
#[inline(always)]
pub fn find<L: Lists>(lists: &L, scope: u32, source: &Address, v6: bool, now: u64) -> Option<Listed> {
    // No loop: what the compiler makes of one, the verifier of kernel 6.1 does not know as such.
    if v6 {
        let found = find_in_word(lists, scope, 1, source, now, None);
        let found = find_in_word(lists, scope, 2, source, now, found);
        find_in_word(lists, scope, 3, source, now, found)
    } else {
        // Most of what is listed is one address each: the only length in the upper half of that word.
        let bits = lists.lengths(scope, 0);
        let found = if bits >> u32::BITS == 0 { None } else { find_one(lists, scope, source, now) };
        find_in_part(lists, scope, Part { first: MAPPED, lengths: bits as u32 }, source, now, found)
    }
}

/// The same for its very address. As [`find_lengths`], without its loop.
#[inline(always)]
fn find_one<L: Lists>(lists: &L, scope: u32, source: &Address, now: u64) -> Option<Listed> {
    let entry = lists.entry(scope, WHOLE, source)?;
    listed(is_before(now, entry.allowed_until), is_before(now, entry.denied_until))
}

#[inline(always)]
fn find_in_word<L: Lists>(
    lists: &L,
    scope: u32,
    word: usize,
    source: &Address,
    now: u64,
    found: Option<Listed>,
) -> Option<Listed> {
    let (bits, first) = (lists.lengths(scope, word), FIRST[word]);
    let found = find_in_part(lists, scope, Part { first, lengths: bits as u32 }, source, now, found);
    let upper = Part { first: first + u32::BITS, lengths: (bits >> u32::BITS) as u32 };
    find_in_part(lists, scope, upper, source, now, found)
}

#[inline(always)]
fn find_in_part<L: Lists>(
    lists: &L,
    scope: u32,
    part: Part,
    source: &Address,
    now: u64,
    found: Option<Listed>,
) -> Option<Listed> {
    match found {
        Some(Listed::Allowed) => found,
        _ if part.lengths == 0 => found,
        _ => lists.find_lengths(scope, part, source, now).or(found),
    }
}

/// The same for prefixes of some lengths.
#[inline(always)]
pub fn find_lengths<L: Lists + ?Sized>(
    lists: &L,
    scope: u32,
    part: Part,
    source: &Address,
    now: u64,
) -> Option<Listed> {
    // Without branches in the loop: the verifier would follow each of them, each time.
    let (mut allowed, mut denied) = (0, 0);
    let mut lengths = part.lengths;
    for _ in 0..u32::BITS {
        if lengths == 0 {
            break;
        }
        let length = part.first + lengths.trailing_zeros();
        lengths &= lengths - 1;
        if let Some(entry) = lists.entry(scope, length, &source.prefix(length)) {
            allowed |= is_before(now, entry.allowed_until);
            denied |= is_before(now, entry.denied_until);
        }
    }
    listed(allowed, denied)
}

/// What entries say, of which some may allow it, or deny it.
#[inline(always)]
const fn listed(allowed: u64, denied: u64) -> Option<Listed> {
    if allowed != 0 {
        Some(Listed::Allowed)
    } else if denied != 0 {
        Some(Listed::Denied)
    } else {
        None
    }
}

/// 1 where `now` is before `time`, or else 0. Neither is over [`FOREVER`].
#[inline(always)]
const fn is_before(now: u64, time: u64) -> u64 {
    now.wrapping_sub(time) >> 63
}

/// Which word, and which bit of it, stands for the length of a prefix.
pub const fn bit(length: u32, v6: bool) -> (usize, u32) {
    if v6 { (1 + (length / u64::BITS) as usize, length % u64::BITS) } else { (0, length - MAPPED) }
}

/// The length that the lowest bit of each word stands for.
const FIRST: [u32; LENGTHS] = [MAPPED, 0, 64, 128];

/// The block that an address lies in.
#[inline(always)]
pub const fn block(address: &Address, v6: bool) -> u32 {
    // 2^32 divided by the golden ratio. It need not be secret: who shares a block with a prefix is looked up, no more.
    const SPREAD: u32 = 0x9e37_79b9;

    let words = address.words();
    if v6 { words[0].wrapping_mul(SPREAD) >> 8 } else { words[3] >> 8 }
}

#[cfg(test)]
mod tests;
