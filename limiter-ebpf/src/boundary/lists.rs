//! The same for listed prefixes.

use limiter_common::key::Address;
use limiter_common::lists::{self, Listed, Part};

use super::Source;
use crate::lists as listed;
use crate::tables::inbound::coarse_time;
use crate::tables::lists::Generation;

const NOTHING: u64 = 0;
const ALLOWED: u64 = 1;
const DENIED: u64 = 2;

/// Where the generation begins in a word.
const GENERATION: u32 = Source::FREE;

/// What the source of a SYN is.
#[inline(always)]
pub fn find(source: &Source, generation: Generation) -> Option<Listed> {
    let [upper, lower, what] = source.pack();
    decode(find_listed(upper, lower, what | pack(generation)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_listed(upper: u64, lower: u64, what: u64) -> u64 {
    encode(listed::find_in(unpack(what), &Source::unpack([upper, lower, what]), coarse_time()))
}

/// What a source is in one scope, by prefixes of some lengths.
#[inline(always)]
pub fn find_lengths(
    generation: Generation,
    scope: u32,
    part: Part,
    source: &Address,
    now: u64,
) -> Option<Listed> {
    let [upper, lower] = source.halves();
    let part = u64::from(part.first) << u32::BITS | u64::from(part.lengths);
    decode(find_prefix(upper, lower, u64::from(scope) | pack(generation), part, now))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_prefix(upper: u64, lower: u64, what: u64, part: u64, now: u64) -> u64 {
    let address = Address::from_halves([upper, lower]);
    let part = Part { first: (part >> u32::BITS) as u32, lengths: part as u32 };
    encode(lists::find_lengths(&unpack(what), what as u32, part, &address, now))
}

#[inline(always)]
const fn pack(generation: Generation) -> u64 {
    (generation.number() as u64) << GENERATION
}

#[inline(always)]
const fn unpack(what: u64) -> Generation {
    Generation::from_number((what >> GENERATION) as u32 & 0xff)
}

#[inline(always)]
const fn encode(listed: Option<Listed>) -> u64 {
    match listed {
        None => NOTHING,
        Some(Listed::Allowed) => ALLOWED,
        Some(Listed::Denied) => DENIED,
    }
}

#[inline(always)]
const fn decode(number: u64) -> Option<Listed> {
    match number {
        ALLOWED => Some(Listed::Allowed),
        DENIED => Some(Listed::Denied),
        _ => None,
    }
}
