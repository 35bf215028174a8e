//! The same for sources that have completed a handshake.

use limiter_common::key::Address;
use limiter_common::packet::Syn;

use crate::open;

/// Whether the source of a SYN has completed a handshake lately under a rule, or holds a connection.
#[inline(always)]
pub fn is_known(syn: &Syn, rule: u32) -> bool {
    is_known_source(&raw const syn.source, rule, syn.v6.into()) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_known_source(source: *const Address, rule: u32, v6: u32) -> u64 {
    // SAFETY: the verifier lets no caller through that does not point to a whole address, or to null.
    unsafe { source.as_ref() }.is_some_and(|source| open::is_known(source, rule, v6 != 0)).into()
}
