//! Tells the daemon of what is refused: of each source, name and address once a second at most.
//!
//! A flood is refused for little: of the SYNs in one tick only the first is looked at any further.

use aya_ebpf::programs::XdpContext;
use limiter_common::key::{Address, Place};
use limiter_common::outbound::{Settings, Subject};
use limiter_common::packet::Syn;
use limiter_common::report::{self, Report, destination_slot, source_slot};
use limiter_common::sources::Cell as _;

use crate::boundary::report as boundary;
use crate::clock;
use crate::inbound::Refused;
use crate::outbound::answer::Answer;
use crate::tables::{inbound as sources, outbound as destinations, report as tables};

/// Reports a SYN, unless another one was looked at in this tick.
#[inline(always)]
pub fn inbound(ctx: &XdpContext, refused: &Refused) {
    if tables::is_next_tick() {
        boundary::inbound(ctx, refused);
    }
}

/// Reports a SYN, unless its source was reported within the last second. `flags` are a report's.
#[inline(always)]
pub fn syn(syn: &Syn, number: u32, reason: u32, flags: u32) {
    let Some(rule) = sources::rule(number) else { return };
    let place = Place::of(sources::secret(), number, &syn.source, rule.mask(syn.v6));
    let (address, port) = (syn.source, syn.destination_port.into());
    submit(source_slot(place), Report { time: 0, name: 0, address, rule: number, reason, port, flags });
}

/// Reports what was refused on its way to an address, unless who refused it was reported within the last second.
#[inline(always)]
pub fn outbound(answer: Answer, address: &Address, port: u16) {
    let (Some(settings), Some(refusal)) = (destinations::settings(), answer.refusal()) else { return };
    let (name, subject) = match answer.name() {
        Some(id) => (id.bits(), Subject::name(id)),
        None => (0, Subject::address(refusal.rule, address)),
    };
    let flags = Report::OUTBOUND | if settings.has(Settings::MONITOR) { Report::MONITOR } else { 0 };
    let (rule, reason) = (refusal.rule, refusal.reason as u32);
    let report = Report { time: 0, name, address: *address, rule, reason, port: port.into(), flags };
    submit(destination_slot(settings, subject), report);
}

/// Whoever notes the time first reports; another CPU that saw the same is too late.
#[inline(always)]
fn submit(slot: u32, report: Report) {
    let Some(last) = tables::last(slot) else { return };
    let (before, now) = (last.load(), clock::now());
    if report::is_due(before, now) && last.compare_exchange(before, now) {
        tables::submit(Report { time: now, ..report });
    }
}
