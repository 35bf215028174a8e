//! The context of a call: what the process asks for, and what it is told.

#![expect(unsafe_code, reason = "reads the context of a call, and answers it")]

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_set_retval};
use aya_ebpf::programs::SockAddrContext;
use limiter_common::key::Address;

/// What a program returns for a call that may go on.
pub const PROCEED: i32 = 1;

/// Has the process told an errno; what is returned is for the kernel.
#[inline(always)]
pub fn refuse(errno: u32) -> i32 {
    const REFUSED: i32 = 0;
    // SAFETY: a helper for a number (kernel 5.18).
    unsafe { bpf_set_retval(-(errno as i32)) };
    REFUSED
}

/// Where a call goes, IPv4.
#[inline(always)]
pub fn destination_v4(ctx: &SockAddrContext) -> Address {
    // SAFETY: the kernel's own context; the verifier turns this into a load of the real field.
    let address = unsafe { (&raw const (*ctx.sock_addr).user_ip4).read_volatile() };
    Address::from_words([0, 0, 0xffff, u32::from_be(address)])
}

/// Where a call goes, IPv6. What is IPv4-mapped is IPv4.
#[inline(always)]
pub fn destination_v6(ctx: &SockAddrContext) -> Address {
    // SAFETY: as above; volatile, so that each word is loaded by itself.
    let word = |i: usize| unsafe { (&raw const (*ctx.sock_addr).user_ip6[i]).read_volatile() };
    Address::from_words([word(0), word(1), word(2), word(3)].map(u32::from_be))
}

/// Whether its socket is one of `SOCK_STREAM`: TCP and Multipath TCP.
#[inline(always)]
pub fn is_stream(ctx: &SockAddrContext) -> bool {
    const STREAM: u32 = 1;
    // SAFETY: as above. The kernel calls the field so.
    let kind = unsafe { (&raw const (*ctx.sock_addr).type_).read_volatile() };
    kind == STREAM
}

#[inline(always)]
pub fn port(ctx: &SockAddrContext) -> u16 {
    // SAFETY: as above; in network order, in the lower half.
    u16::from_be(unsafe { (&raw const (*ctx.sock_addr).user_port).read_volatile() } as u16)
}

#[inline(always)]
pub fn cookie(ctx: &SockAddrContext) -> u64 {
    // SAFETY: a helper for this context.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}
