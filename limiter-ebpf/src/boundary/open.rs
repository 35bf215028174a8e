//! The same for open connections.

use limiter_common::open::Pass;
use limiter_common::pending::{self, Cells};
use limiter_common::sources::WAYS;

use super::Source;
use crate::atomics::Word;
use crate::inbound::outcome::Outcome;
use crate::open;

/// To be charged, and not only asked.
const CHARGE: u64 = 1 << Source::FREE;

/// Judges a SYN by how many connections its source holds.
#[inline(always)]
pub fn judge(source: &Source, pass: Pass) -> Outcome {
    let [upper, lower, what] = source.pack();
    let charge = if matches!(pass, Pass::Charge) { CHARGE } else { 0 };
    Outcome(judge_open(upper, lower, what | charge))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_open(upper: u64, lower: u64, what: u64) -> u64 {
    let pass = if what & CHARGE != 0 { Pass::Charge } else { Pass::Ask };
    let source = Source::unpack([upper, lower, what]);
    open::judge(&source.address, source.rule, source.v6, pass).0
}

/// A set of cells in the table of pending handshakes.
pub struct Pending<'a>(pub &'a [Word; WAYS]);

impl Cells for Pending<'_> {
    type Cell = Word;

    #[inline(always)]
    fn cells(&self) -> &[Word; WAYS] {
        self.0
    }

    #[inline(always)]
    fn find(&self, tag: u16, now: u64) -> usize {
        // The compiler sees that it is less than eight, and would not mask it; the verifier does not.
        core::hint::black_box(find_pending(self.0, tag, now)) as usize
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_pending(cells: *const [Word; WAYS], tag: u16, now: u64) -> u64 {
    // SAFETY: made of a reference, or null.
    unsafe { cells.as_ref() }.map_or(0, |cells| pending::find(cells, tag, now) as u64)
}
