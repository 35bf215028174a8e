//! Sources that are allowed or denied whatever the limits say.

use limiter_common::lists::{self, EVERY_RULE, Listed};

use crate::boundary::{self, Source};
use crate::tables::lists::Generation;

/// What the source of a SYN is under its rule.
#[inline(always)]
pub fn find(source: &Source) -> Option<Listed> {
    let generation = Generation::current()?;
    let may_be_listed =
        generation.has_block(lists::block(&source.address, source.v6)) || source.v6 && generation.is_broad();
    if may_be_listed { boundary::lists::find(source, generation) } else { None }
}

/// The same where it may be listed.
#[inline(always)]
pub fn find_in(generation: Generation, source: &Source, now: u64) -> Option<Listed> {
    let find = |scope| lists::find(&generation, scope, &source.address, source.v6, now);
    // No loop: what the compiler makes of one, the verifier of kernel 6.1 does not know as such.
    match find(EVERY_RULE) {
        Some(Listed::Allowed) => Some(Listed::Allowed),
        denied => find(source.rule).or(denied),
    }
}
