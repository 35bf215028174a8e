//! The same for reports.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use limiter_common::key::Address;
use limiter_common::packet;
use limiter_common::report::Report;

use super::reset::{pack, unpack};
use crate::frame::Frame;
use crate::inbound::Refused;
use crate::inbound::outcome::Done;
use crate::outbound::answer::Answer;
use crate::report;

/// Beside a reason: it was let through.
const MONITOR: u64 = 1 << 32;

/// Reports a SYN that was refused.
#[inline(always)]
pub fn inbound(context: &XdpContext, refused: &Refused) {
    let monitor = if matches!(refused.outcome.done(), Done::Refuse(None)) { MONITOR } else { 0 };
    let why = u64::from(refused.outcome.reason()) | monitor;
    report_syn(context.ctx, pack(&refused.headers), refused.rule.into(), why);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_syn(context: *mut xdp_md, headers: u64, rule: u64, why: u64) -> u64 {
    let context = XdpContext::new(context);
    let flags = if why & MONITOR == 0 { 0 } else { Report::MONITOR };
    if let Some(syn) = packet::read(&Frame::new(&context), &unpack(headers)) {
        report::syn(&syn, rule as u32, why as u32, flags);
    }
    0
}

/// Reports what was refused on its way to an address; `port` is 0 where there is none.
#[inline(always)]
pub fn outbound(answer: Answer, address: &Address, port: u16) {
    let [upper, lower] = address.halves();
    report_destination(answer.0, upper, lower, port.into());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_destination(answer: u64, upper: u64, lower: u64, port: u64) -> u64 {
    report::outbound(Answer(answer), &Address::from_halves([upper, lower]), port as u16);
    0
}
