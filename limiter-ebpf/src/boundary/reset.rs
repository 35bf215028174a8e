//! The same for resets.

use aya_ebpf::bindings::xdp_action::XDP_DROP;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use limiter_common::packet::Headers;

use crate::frame::Frame;
use crate::inbound::Refused;
use crate::reset;

// Where each field begins in a word, behind the offset of the IP header.
const TCP_OFFSET: u32 = 8;
const V6: u64 = 1 << 24;
const FRAGMENT: u64 = 1 << 25;
const END: u32 = 32;

/// Answers a SYN that was refused; what is returned is for XDP.
#[inline(always)]
pub fn reply(context: &XdpContext, refused: &Refused) -> u32 {
    let action = reply_to(context.ctx, pack(&refused.headers), refused.rule);
    // A global function returns any number, as far as the verifier knows.
    if action == u64::from(XDP_DROP) { XDP_DROP } else { aya_ebpf::bindings::xdp_action::XDP_TX }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn reply_to(context: *mut xdp_md, headers: u64, rule: u32) -> u64 {
    let context = XdpContext::new(context);
    reset::reply(&Frame::new(&context), &unpack(headers), rule).into()
}

#[inline(always)]
const fn pack(headers: &Headers) -> u64 {
    headers.ip_offset as u64
        | (headers.tcp_offset as u64) << TCP_OFFSET
        | if headers.v6 { V6 } else { 0 }
        | if headers.fragment { FRAGMENT } else { 0 }
        | (headers.end as u64) << END
}

/// The masks tell the verifier what the caller knows: offsets are small.
#[inline(always)]
const fn unpack(word: u64) -> Headers {
    Headers {
        ip_offset: (word & 0xff) as usize,
        tcp_offset: (word >> TCP_OFFSET & super::OFFSET) as usize,
        end: (word >> END) as usize,
        fragment: word & FRAGMENT != 0,
        v6: word & V6 != 0,
    }
}
