//! One connection, or one packet: find what its destination is held to, ask, charge, count.

#![expect(unsafe_code, reason = "reads the context of a call, and asks the kernel for the time")]

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_set_retval};
use aya_ebpf::programs::SockAddrContext;
use limiter_common::key::Address;
use limiter_common::mapping::SharedNames;
use limiter_common::name::NameId;
use limiter_common::outbound::tables::{Event, FLOW_IDLE, Flow};
use limiter_common::outbound::{self, Held, Kind, Opinion, PER_IP_RULE, Pass, SHARED_TAG, Settings, Subject};
use limiter_common::sources::{Cell as _, Overwrite as _, WAYS};
use limiter_common::verdict::Reason;

use crate::atomics::Word;
use crate::boundary::Set;
use crate::boundary::outbound::{self as boundary, Answer, Judgement, Refusal};
use crate::boundary::report;
use crate::tables::outbound as tables;

/// `SOCK_STREAM`: TCP and Multipath TCP.
const STREAM: u32 = 1;

const DNS: u64 = 53;

/// What a call is told.
const PROCEED: i32 = 1;
const REFUSED: i32 = 0;

/// Judges `connect()`.
///
/// Only a stream is a connection now. By that of a datagram socket `getaddrinfo()` asks for a route, and sends nothing:
/// it is asked whether it may, and its first datagram is charged.
#[inline(always)]
pub fn connect(ctx: &SockAddrContext, address: &Address) -> i32 {
    let pass = if socket_type(ctx) == STREAM {
        Pass::Charge
    } else if port(ctx) == 0 || tables::settings().is_some_and(|settings| settings.has(Settings::MONITOR)) {
        return PROCEED;
    } else {
        Pass::Ask
    };
    judge(ctx, address, pass)
}

/// Judges a datagram of a socket that is not connected, or that is an IPv6 socket connected to an IPv4 address.
#[inline(always)]
pub fn send(ctx: &SockAddrContext, address: &Address) -> i32 {
    // SAFETY: a helper for this context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let flow = Flow { cookie, address: *address, port: port(ctx).into() };
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
            report::outbound(answer, address, port(ctx));
            if settings.has(Settings::MONITOR) {
                return PROCEED;
            }
            // SAFETY: a helper for a number (kernel 5.18).
            unsafe { bpf_set_retval(-(settings.errno as i32)) };
            REFUSED
        }
    }
}

/// An address, and what it is held to.
pub struct Destination<'a> {
    settings: &'static Settings,
    address: &'a Address,
    held: Held<&'static SharedNames<Word>>,
}

impl<'a> Destination<'a> {
    /// `None` where nothing holds.
    #[inline(always)]
    pub fn find(address: &'a Address) -> Option<Self> {
        let settings = tables::settings()?;
        let held =
            Held::new(tables::listed(address), tables::network(address), || tables::unlisted(address))?;
        Some(Self { settings, address, held })
    }

    /// What its subjects say, which are charged unless they are only asked.
    #[inline(always)]
    pub fn judge(&self, kind: Kind, amount: u64, pass: Pass) -> Answer {
        let now = now();
        let is_only_asked = matches!(pass, Pass::Ask);
        let is_asked = is_only_asked || !self.is_alone(kind);
        let mut answer = Answer::ADMIT;
        // One loop, not two calls: so this is compiled once, and needs less of the stack.
        for (pass, wanted) in [(Pass::Ask, is_asked), (Pass::Charge, !is_only_asked)] {
            if wanted && answer.admits() {
                answer = self.pass(kind, amount, pass, now);
            }
        }
        match answer.refusal() {
            Some(refusal) => count_refusal(refusal),
            None if kind as u32 == Kind::Rate as u32 && !is_only_asked => {
                if let Some(rule) = self.held.rule {
                    tables::count_host(rule, |counters| counters.allowed += 1);
                }
                if self.settings.has(Settings::PER_IP) {
                    tables::count_host(PER_IP_RULE, |counters| counters.allowed += 1);
                }
            }
            None => {}
        }
        answer
    }

    /// Whether there is only one to be charged, so that nobody needs to be asked before.
    #[inline(always)]
    fn is_alone(&self, kind: Kind) -> bool {
        let per_ip = matches!(kind, Kind::Rate) && self.settings.has(Settings::PER_IP);
        match self.held.names {
            None => !per_ip,
            // The places of an address fill from the first one on.
            Some(names) => !per_ip && self.held.rule.is_none() && names.get(1).is_none(),
        }
    }

    /// The address first, and its names last, because these count what they admit.
    #[inline(always)]
    fn pass(&self, kind: Kind, amount: u64, pass: Pass, now: u64) -> Answer {
        let mut answer = Answer::ADMIT;
        if let Some(rule) = self.held.rule {
            answer = boundary::weigh(Subject::address(rule, self.address), kind, amount, pass, now);
        }
        if matches!(kind, Kind::Rate) && self.settings.has(Settings::PER_IP) {
            let per_ip = Subject::address(PER_IP_RULE, self.address);
            answer = answer.or(boundary::weigh(per_ip, kind, amount, pass, now));
        }
        match self.held.names {
            Some(names) if answer.admits() || matches!(pass, Pass::Ask) => {
                answer.or(boundary::weigh_all(names, kind, amount, pass, now))
            }
            _ => answer,
        }
    }
}

/// Asks or charges one subject: `None` where it has nothing against it.
#[inline(always)]
pub fn weigh(subject: Subject, kind: Kind, amount: u64, pass: Pass, now: u64) -> Option<Reason> {
    let (settings, rule) = (tables::settings()?, tables::host_rule(subject.rule)?);
    let (rate, limit) = (rule.limit(Kind::Rate), rule.limit(kind));
    let is_rate = matches!(kind, Kind::Rate);
    if limit.is_none() && !(is_rate && rate.backoff != 0) {
        return None;
    }
    // A back-off cuts off what is sent as well, but not queries: who asks again is to be told why at connect().
    let pauses = !is_rate && rate.backoff != 0;
    if pauses && !matches!(kind, Kind::Lookups) {
        let (cells, tag) = state(settings, rule.shared, &subject, Kind::Rate)?;
        if outbound::is_backing_off(rate, &Set(cells), tag, now) {
            return Some(Reason::Backoff);
        }
    }
    let (cells, tag) = state(settings, rule.shared, &subject, kind)?;
    let cost = outbound::cost(limit, kind, amount);
    match boundary::weigh_state(limit, cells, tag, now, cost, pass) {
        Opinion::Admit => None,
        Opinion::BackingOff => Some(Reason::Backoff),
        Opinion::Contention => Some(Reason::Contention),
        Opinion::Over => {
            if pauses {
                let (cells, tag) = state(settings, rule.shared, &subject, Kind::Rate)?;
                outbound::back_off(rate, &Set(cells), tag, now);
            }
            Some(kind.reason(subject.rule))
        }
    }
}

/// Where the state of a subject lies.
#[inline(always)]
fn state(
    settings: &Settings,
    shared: u32,
    subject: &Subject,
    kind: Kind,
) -> Option<(&'static [Word; WAYS], u16)> {
    if shared != 0 {
        return Some((tables::shared_states(subject.shared_set(kind))?, SHARED_TAG));
    }
    let place = subject.place(&settings.places, kind);
    Some((tables::states(place.set(settings.set_mask))?, place.tag()))
}

/// Counts a refusal with its rule.
#[inline(always)]
pub fn count_refusal(refusal: Refusal) {
    tables::count_host(refusal.rule, |counters| {
        // The compiler knows that a reason has its counter, and would not compare; the verifier does not.
        let index = core::hint::black_box(refusal.reason as usize);
        if let Some(refused) = counters.refused.get_mut(index) {
            *refused += 1;
        }
    });
}

/// Counts a refusal with the name that is responsible.
#[inline(always)]
pub fn count_refused(id: NameId) {
    if let Some(host) = tables::host(id) {
        host.refused.increment();
    }
}

/// Counts a connection with a name that admitted it.
#[inline(always)]
pub fn count_allowed(id: NameId) {
    if let Some(host) = tables::host(id) {
        host.allowed.increment();
    }
    tables::count_host(id.rule(), |counters| counters.allowed += 1);
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

#[inline(always)]
fn socket_type(ctx: &SockAddrContext) -> u32 {
    // SAFETY: as above. The kernel calls the field so.
    unsafe { (&raw const (*ctx.sock_addr).type_).read_volatile() }
}

#[inline(always)]
fn port(ctx: &SockAddrContext) -> u16 {
    // SAFETY: as above; in network order, in the lower half.
    u16::from_be(unsafe { (&raw const (*ctx.sock_addr).user_port).read_volatile() } as u16)
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
