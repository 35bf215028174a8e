//! One call or packet that goes out: judge it, say what comes of it.

pub mod answer;
pub mod call;
pub mod destination;
pub mod subject;

use aya_ebpf::programs::SockAddrContext;
use limiter_common::key::Address;
use limiter_common::outbound::tables::{Event, FLOW_IDLE, Flow};
use limiter_common::outbound::{Kind, Pass, Settings};
use limiter_common::sources::{Cell as _, Overwrite as _};

use self::answer::Judgement;
use self::call::PROCEED;
use crate::boundary::outbound as boundary;
use crate::boundary::report;
use crate::clock::now;
use crate::tables::outbound as tables;

const DNS: u64 = 53;

/// Judges `connect()`.
///
/// Only a stream is a connection now. By that of a datagram socket `getaddrinfo()` asks for a route, and sends nothing:
/// it is asked whether it may, and its first datagram is charged.
#[inline(always)]
pub fn connect(ctx: &SockAddrContext, address: &Address) -> i32 {
    let pass = if call::is_stream(ctx) {
        Pass::Charge
    } else if call::port(ctx) == 0
        || tables::settings().is_some_and(|settings| settings.has(Settings::MONITOR))
    {
        return PROCEED;
    } else {
        Pass::Ask
    };
    judge(ctx, address, pass)
}

/// Judges a datagram of a socket that is not connected, or that is an IPv6 socket connected to an IPv4 address.
#[inline(always)]
pub fn send(ctx: &SockAddrContext, address: &Address) -> i32 {
    let cookie = call::cookie(ctx);
    let flow = Flow { cookie, address: *address, port: call::port(ctx).into() };
    let now = now();
    if goes_on(&flow, now) {
        return PROCEED;
    }
    let verdict = judge(ctx, address, Pass::Charge);
    if verdict == PROCEED {
        tables::remember(&flow, now);
    }
    verdict
}

/// Says whether a packet that is no TCP segment may be sent: the first one of a flow is a new connection.
///
/// What `sendmsg` has judged is a known flow here.
#[inline(always)]
pub fn datagram(flow: &Flow) -> bool {
    let now = now();
    if goes_on(flow, now) {
        return true;
    }
    match boundary::judge(&flow.address, Kind::Rate, 1, Pass::Charge) {
        Judgement::Refuse(answer) => {
            report::outbound(answer, &flow.address, flow.port as u16);
            return false;
        }
        Judgement::Exempt => {
            tables::count_event(Event::Exempt);
            // A flow of one query, mostly: to remember it would take as long as all the rest.
            if flow.port == DNS {
                return true;
            }
        }
        Judgement::Admit => {}
    }
    tables::remember(flow, now);
    true
}

/// Whether a flow is known and was not silent for too long.
#[inline(always)]
fn goes_on(flow: &Flow, now: u64) -> bool {
    let Some(last) = tables::flow(flow).filter(|last| now.wrapping_sub(last.load()) < FLOW_IDLE) else {
        return false;
    };
    last.store(now);
    true
}

#[inline(always)]
fn judge(ctx: &SockAddrContext, address: &Address, pass: Pass) -> i32 {
    let Some(settings) = tables::settings() else {
        return PROCEED;
    };
    match boundary::judge(address, Kind::Rate, 1, pass) {
        Judgement::Admit => PROCEED,
        Judgement::Exempt => {
            if matches!(pass, Pass::Charge) {
                tables::count_event(Event::Exempt);
            }
            PROCEED
        }
        Judgement::Refuse(answer) => {
            report::outbound(answer, address, call::port(ctx));
            if settings.has(Settings::MONITOR) {
                return PROCEED;
            }
            call::refuse(settings.errno)
        }
    }
}
