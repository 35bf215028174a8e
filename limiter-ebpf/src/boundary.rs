//! Functions that the verifier checks once, by themselves, whatever their arguments.
//!
//! Inlined, each would be checked again for every way that leads to it: the program would take 800,000 instructions
//! to verify, near the limit of a million. Such a function must be `extern "C"`, global and never inlined, takes
//! five arguments at most, and must expect any number in them and null in its pointers (kernel 5.12,
//! `btf_prepare_func_args`). What it returns is a number; anything larger goes through a pointer.

#![expect(unsafe_code, reason = "arguments of global functions are raw, and their names are exported")]

pub mod known;
pub mod lists;
pub mod open;
pub mod outbound;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use limiter_common::key::Address;
use limiter_common::packet::Syn;
use limiter_common::packet::extensions::{self, Upper};
use limiter_common::sources::{self, Cells, Found, Tenant, WAYS};
use limiter_common::verdict::Skip;

use crate::atomics::Word;
use crate::frame::Frame;
use crate::inbound::{self, Outcome};

/// Judges a SYN by the rates of a rule.
#[inline(always)]
pub fn judge(syn: &Syn, rule: u32, is_stranger: bool) -> Outcome {
    Outcome::from_number(judge_syn(&raw const syn.source, rule, syn.v6.into(), is_stranger.into()))
}

/// Whether the rates of a rule admit one more from the source of a SYN.
#[inline(always)]
pub fn admits(syn: &Syn, rule: u32) -> bool {
    judge_syn(&raw const syn.source, rule, syn.v6.into(), 0) == Outcome::Admit as u64
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_syn(source: *const Address, rule: u32, v6: u32, is_stranger: u32) -> u64 {
    // SAFETY: the verifier lets no caller through that does not point to a whole address, or to null.
    let Some(source) = (unsafe { source.as_ref() }) else {
        return Outcome::Missing as u64;
    };
    inbound::judge_source(source, rule, v6 != 0, is_stranger != 0) as u64
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
        let mut found = Found { index: 0, old: 0, tenant: Tenant::Same };
        find_cell(self.0, tag, now, &raw mut found);
        found
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_cell(cells: *const [Word; WAYS], tag: u16, now: u64, found: *mut Found) -> u64 {
    // SAFETY: the verifier lets no caller through that does not point to a whole set, or to null.
    let cells = unsafe { cells.as_ref() };
    // SAFETY: as above; it is the caller's own, on its stack.
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
