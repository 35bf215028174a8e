//! The same for sources that have completed a handshake.

use super::Source;
use crate::open;

/// Whether the source of a SYN has completed a handshake lately under its rule, or holds a connection.
#[inline(always)]
pub fn is_known(source: &Source) -> bool {
    let [upper, lower, what] = source.pack();
    is_known_source(upper, lower, what) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_known_source(upper: u64, lower: u64, what: u64) -> u64 {
    let source = Source::unpack([upper, lower, what]);
    open::is_known(&source.address, source.rule, source.v6).into()
}
