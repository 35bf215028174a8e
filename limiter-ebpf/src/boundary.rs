//! Functions that the verifier checks once, by themselves, whatever their arguments.
//!
//! Inlined, each would be checked again for every way that leads to it: the program would take 800,000 instructions
//! to verify, near the limit of a million. Such a function must be `extern "C"`, global and never inlined, takes
//! five arguments at most, and must expect any number in them and null in its pointers (kernel 5.12,
//! `btf_prepare_func_args`). What it returns is a number; anything larger goes through a pointer.
//!
//! Only the function before it calls each: a pointer is the context, or made of a reference there. The verifier lets no
//! caller through whose pointer is not the context, as many bytes as the type has, or null.

#![expect(unsafe_code, reason = "arguments of global functions are raw, and their names are exported")]

pub mod datagram;
pub mod known;
pub mod lists;
pub mod observe;
pub mod open;
pub mod outbound;
pub mod report;
pub mod reset;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use limiter_common::key::Address;
use limiter_common::packet::extensions::{self, Upper};
use limiter_common::sources::{self, Cells, Found, Tenant, WAYS};
use limiter_common::verdict::Skip;

use crate::atomics::Word;
use crate::frame::Frame;
use crate::inbound::outcome::Outcome;
use crate::inbound::{self, Left, Rates};

/// Who sends a SYN, and the rule that holds for it. Three words, so that it goes through registers.
#[derive(Clone, Copy)]
pub struct Source {
    pub address: Address,
    pub rule: u32,
    pub v6: bool,
}

impl Source {
    const V6: u64 = 1 << 32;
    /// The first bit of a third word that is free for what else is to be said.
    const FREE: u32 = 33;

    #[inline(always)]
    const fn pack(&self) -> [u64; 3] {
        let [upper, lower] = self.address.halves();
        [upper, lower, self.rule as u64 | if self.v6 { Self::V6 } else { 0 }]
    }

    #[inline(always)]
    const fn unpack(words: [u64; 3]) -> Self {
        let [upper, lower, what] = words;
        Self { address: Address::from_halves([upper, lower]), rule: what as u32, v6: what & Self::V6 != 0 }
    }
}

// Beside what a source takes of its third word.
const STRANGER: u64 = 1 << Source::FREE;
const CHARGED: u64 = 2 << Source::FREE;

/// Judges a SYN.
#[inline(always)]
pub fn judge(source: &Source) -> Outcome {
    let [upper, lower, what] = source.pack();
    // Here and not there: one below the other, these functions would take more stack than there is.
    match judge_syn(upper, lower, what) {
        LEFT_RATES => judge_rates(source, Rates::default()),
        LEFT_RATES_CHARGED => judge_rates(source, Rates { is_charged: true, ..Rates::default() }),
        LEFT_ALL => judge_unlisted(source),
        outcome => Outcome(outcome),
    }
}

// Beside the numbers of outcomes.
const LEFT_RATES: u64 = 8;
const LEFT_RATES_CHARGED: u64 = 9;
const LEFT_ALL: u64 = 10;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_syn(upper: u64, lower: u64, what: u64) -> u64 {
    match inbound::judge_at_once(&Source::unpack([upper, lower, what])) {
        Ok(outcome) => outcome.0,
        Err(Left::Rates { is_charged: false }) => LEFT_RATES,
        Err(Left::Rates { is_charged: true }) => LEFT_RATES_CHARGED,
        Err(Left::All) => LEFT_ALL,
    }
}

/// Judges a SYN whose source is not listed.
#[inline(always)]
pub fn judge_unlisted(source: &Source) -> Outcome {
    let [upper, lower, what] = source.pack();
    Outcome(judge_unlisted_syn(upper, lower, what))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_unlisted_syn(upper: u64, lower: u64, what: u64) -> u64 {
    inbound::judge_unlisted(&Source::unpack([upper, lower, what])).0
}

/// Judges a SYN by the rates of its rule.
#[inline(always)]
pub fn judge_rates(source: &Source, rates: Rates) -> Outcome {
    let [upper, lower, what] = source.pack();
    let is_stranger = if rates.is_stranger { STRANGER } else { 0 };
    let is_charged = if rates.is_charged { CHARGED } else { 0 };
    Outcome(judge_by_rates(upper, lower, what | is_stranger | is_charged))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_by_rates(upper: u64, lower: u64, what: u64) -> u64 {
    let rates = Rates { is_stranger: what & STRANGER != 0, is_charged: what & CHARGED != 0 };
    inbound::judge_rates(&Source::unpack([upper, lower, what]), rates).0
}

/// A set of cells in the table of sources.
pub struct Set<'a>(pub &'a [Word; WAYS]);

impl Cells for Set<'_> {
    type Cell = Word;

    #[inline(always)]
    fn cells(&self) -> &[Word; WAYS] {
        self.0
    }

    #[inline(always)]
    fn find(&self, tag: u16, now: u64) -> Found {
        // Not zeros: for those the compiler calls a function.
        let mut found = Found { index: WAYS, old: 0, tenant: Tenant::Active };
        find_cell(self.0, tag, now, &raw mut found);
        found
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_cell(cells: *const [Word; WAYS], tag: u16, now: u64, found: *mut Found) -> u64 {
    // SAFETY: made of a reference, or null.
    let cells = unsafe { cells.as_ref() };
    // SAFETY: as above, and that is the caller's alone, on its stack.
    let found = unsafe { found.as_mut() };
    if let (Some(cells), Some(found)) = (cells, found) {
        *found = sources::find(cells, tag, now);
    }
    0
}

/// Which bits of a result say where the transport's header is; above them is a flag, then the protocol, then an error.
/// Eight extension headers of 2,048 bytes end before 2^15, and the verifier allows no packet offset of 2^16.
const OFFSET: u64 = (1 << 15) - 1;
const FRAGMENT: u64 = 1 << 16;
const PROTOCOL: u32 = 24;
const ERROR: u32 = 32;

/// Finds what is behind the extension headers of an IPv6 packet.
///
/// # Errors
///
/// As `packet::parse`.
#[inline(always)]
pub fn skip_extensions(context: &XdpContext, first: u8, offset: usize) -> Result<Upper, Skip> {
    unpack_upper(skip_ipv6_extensions(context.ctx, first.into(), offset as u64))
}

#[inline(always)]
fn pack_upper(result: Result<Upper, Skip>) -> u64 {
    match result {
        Ok(Upper { protocol, offset, fragment }) => {
            offset as u64 & OFFSET | u64::from(protocol) << PROTOCOL | if fragment { FRAGMENT } else { 0 }
        }
        Err(skip) => (skip as u64 + 1) << ERROR,
    }
}

#[inline(always)]
fn unpack_upper(result: u64) -> Result<Upper, Skip> {
    match (result >> ERROR) as u32 {
        0 => Ok(Upper {
            protocol: (result >> PROTOCOL) as u8,
            offset: (result & OFFSET) as usize,
            fragment: result & FRAGMENT != 0,
        }),
        error => Err(Skip::from_number(error - 1).unwrap_or(Skip::Internal)),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn skip_ipv6_extensions(context: *mut xdp_md, first: u64, offset: u64) -> u64 {
    let context = XdpContext::new(context);
    // The mask tells the verifier what the caller knows: the offset is small.
    pack_upper(extensions::skip(&Frame::new(&context), first as u8, (offset & 0xff) as usize))
}
