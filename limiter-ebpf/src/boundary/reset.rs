//! The same for resets.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use limiter_common::packet::Headers;

use crate::frame::Frame;
use crate::inbound::Refused;
use crate::reset::{self, Unwritten};

// Where each field begins in a word, behind the offset of the IP header.
const TCP_OFFSET: u32 = 8;
const V6: u64 = 1 << 24;
const FRAGMENT: u64 = 1 << 25;
/// Beside them: the budget has been asked.
const JUDGED: u64 = 1 << 26;
const END: u32 = 32;

/// Answers a SYN that was refused; what is returned is for XDP.
#[inline(always)]
pub fn reply(context: &XdpContext, refused: &Refused) -> u32 {
    let headers = pack(&refused.headers);
    let mut done = reply_to(context.ctx, headers, refused.rule);
    if done == UNJUDGED || done == UNJUDGED_CHARGED {
        let is_charged = done == UNJUDGED_CHARGED;
        done = if judge_reply(context.ctx, headers, is_charged.into()) == 0 {
            SILENT
        } else {
            reply_to(context.ctx, headers | JUDGED, refused.rule)
        };
    }
    if done == WRITTEN { XDP_TX } else { XDP_DROP }
}

const WRITTEN: u64 = 0;
const SILENT: u64 = 1;
const UNJUDGED: u64 = 2;
const UNJUDGED_CHARGED: u64 = 3;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn reply_to(context: *mut xdp_md, headers: u64, rule: u32) -> u64 {
    let context = XdpContext::new(context);
    match reset::reply(&Frame::new(&context), &unpack(headers), rule, headers & JUDGED != 0) {
        Ok(()) => WRITTEN,
        Err(Unwritten::Silent) => SILENT,
        Err(Unwritten::Unjudged { is_charged: false }) => UNJUDGED,
        Err(Unwritten::Unjudged { is_charged: true }) => UNJUDGED_CHARGED,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_reply(context: *mut xdp_md, headers: u64, is_charged: u64) -> u64 {
    let context = XdpContext::new(context);
    reset::judge(&Frame::new(&context), &unpack(headers), is_charged != 0).into()
}

#[inline(always)]
pub(super) const fn pack(headers: &Headers) -> u64 {
    headers.ip_offset as u64
        | (headers.tcp_offset as u64) << TCP_OFFSET
        | if headers.v6 { V6 } else { 0 }
        | if headers.fragment { FRAGMENT } else { 0 }
        | (headers.end as u64) << END
}

/// The masks tell the verifier what the caller knows: offsets are small.
#[inline(always)]
pub(super) const fn unpack(word: u64) -> Headers {
    Headers {
        ip_offset: (word & 0xff) as usize,
        tcp_offset: (word >> TCP_OFFSET & super::OFFSET) as usize,
        end: (word >> END) as usize,
        fragment: word & FRAGMENT != 0,
        v6: word & V6 != 0,
    }
}
