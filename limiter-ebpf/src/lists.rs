//! Sources that are allowed or denied whatever the limits say.

use limiter_common::key::Address;
use limiter_common::lists::{self, EVERY_RULE, Listed};
use limiter_common::packet::Syn;

use crate::boundary;
use crate::tables::lists::Generation;

/// What the source of a SYN is under a rule.
#[inline(always)]
pub fn find(syn: &Syn, rule: u32) -> Option<Listed> {
    let generation = Generation::current()?;
    let may_be_listed =
        generation.has_block(lists::block(&syn.source, syn.v6)) || syn.v6 && generation.is_broad();
    if may_be_listed { boundary::lists::find(syn, rule, generation) } else { None }
}

/// The same where it may be listed.
#[inline(always)]
pub fn find_in(generation: Generation, rule: u32, source: &Address, v6: bool, now: u64) -> Option<Listed> {
    let mut found = None;
    for scope in [EVERY_RULE, rule] {
        match lists::find(&generation, scope, source, v6, now) {
            Some(Listed::Allowed) => return Some(Listed::Allowed),
            Some(Listed::Denied) => found = Some(Listed::Denied),
            None => {}
        }
    }
    found
}
