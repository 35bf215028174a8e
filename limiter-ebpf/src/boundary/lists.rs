//! The same for listed prefixes.

use limiter_common::key::Address;
use limiter_common::lists::{self, Listed};
use limiter_common::packet::Syn;

use crate::inbound::now;
use crate::lists as listed;
use crate::tables::lists::Generation;

const NOTHING: u64 = 0;
const ALLOWED: u64 = 1;
const DENIED: u64 = 2;

/// Above a rule's number: the generation.
const GENERATION: u32 = 32;
/// An IPv6 address.
const V6: u64 = 1 << 40;

/// What the source of a SYN is.
#[inline(always)]
pub fn find(syn: &Syn, rule: u32, generation: Generation) -> Option<Listed> {
    decode(find_listed(&raw const syn.source, pack(rule, generation, syn.v6)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_listed(source: *const Address, what: u64) -> u64 {
    // SAFETY: the verifier lets no caller through that does not point to a whole address, or to null.
    let Some(source) = (unsafe { source.as_ref() }) else {
        return NOTHING;
    };
    let (rule, generation, v6) = unpack(what);
    encode(listed::find_in(generation, rule, source, v6, now()))
}

/// What a source is in one scope, by the lengths that half a word stands for.
#[inline(always)]
pub fn find_in_part(
    generation: Generation,
    scope: u32,
    part: u32,
    source: &Address,
    now: u64,
) -> Option<Listed> {
    decode(find_prefix(&raw const *source, pack(scope, generation, false), part.into(), now))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_prefix(source: *const Address, what: u64, part: u64, now: u64) -> u64 {
    // SAFETY: as above.
    let Some(source) = (unsafe { source.as_ref() }) else {
        return NOTHING;
    };
    let (scope, generation, _) = unpack(what);
    encode(lists::find_in_part(&generation, scope, part as u32, source, now))
}

#[inline(always)]
const fn pack(scope: u32, generation: Generation, v6: bool) -> u64 {
    scope as u64 | (generation.number() as u64) << GENERATION | if v6 { V6 } else { 0 }
}

#[inline(always)]
const fn unpack(what: u64) -> (u32, Generation, bool) {
    (what as u32, Generation::from_number((what >> GENERATION) as u32 & 0xff), what & V6 != 0)
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
