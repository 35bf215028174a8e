//! One connection, or one packet: find what its destination is held to, ask, charge, count.

#![expect(unsafe_code, reason = "reads the context of a call, and asks the kernel for the time")]

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_set_retval};
use aya_ebpf::programs::SockAddrContext;
use limiter_common::key::Address;
use limiter_common::mapping::SharedNames;
use limiter_common::name::NameId;
use limiter_common::outbound::{
    self, DEFAULT_RULE, EXEMPT, Event, FLOW_IDLE, Flow, Kind, Opinion, PER_IP_RULE, Pass, SHARED_TAG,
    Settings, Subject,
};
use limiter_common::sources::{Cell as _, Overwrite as _, WAYS};
use limiter_common::verdict::Reason;

use crate::atomics::Word;
use crate::boundary::Set;
use crate::boundary::outbound::{self as boundary, Judgement, Refusal};
use crate::tables::outbound as tables;

const UDP: u32 = 17;

/// What a call is told.
const PROCEED: i32 = 1;
const REFUSED: i32 = 0;

/// Judges `connect()`.
#[inline(always)]
pub fn connect(ctx: &SockAddrContext, address: &Address) -> i32 {
    if protocol(ctx) != UDP {
        return judge(address);
    }
    let port = port(ctx);
    if port == 0 {
        return PROCEED; // getaddrinfo() asks so for a route, and sends nothing
    }
    let flow = flow(ctx, address, port);
    let verdict = judge(address);
    if verdict == PROCEED {
        // `send()` on an IPv6 socket that is connected to an IPv4 address comes by once more, in sendmsg4.
        tables::remember(&flow, now());
    }
    verdict
}

/// Judges a datagram of a socket that is not connected: the first one to a destination is a new connection.
#[inline(always)]
pub fn send(ctx: &SockAddrContext, address: &Address) -> i32 {
    let flow = flow(ctx, address, port(ctx));
    let now = now();
    if let Some(last) = tables::flow(&flow)
        && now.wrapping_sub(last.load()) < FLOW_IDLE
    {
        last.store(now);
        return PROCEED;
    }
    let verdict = judge(address);
    if verdict == PROCEED {
        tables::remember(&flow, now);
    }
    verdict
}

#[inline(always)]
fn judge(address: &Address) -> i32 {
    let Some(settings) = tables::settings() else {
        return PROCEED;
    };
    match boundary::judge(address, Kind::Rate, 1) {
        Judgement::Admit => PROCEED,
        Judgement::Exempt => {
            tables::count_event(Event::Exempt);
            PROCEED
        }
        Judgement::Refuse if settings.has(Settings::MONITOR) => PROCEED,
        Judgement::Refuse => {
            // SAFETY: a helper for a number (kernel 5.18).
            unsafe { bpf_set_retval(-(settings.errno as i32)) };
            REFUSED
        }
    }
}

/// What holds for an address.
pub struct Destination<'a> {
    settings: &'static Settings,
    address: &'a Address,
    names: Option<&'static SharedNames<Word>>,
    /// The rule that the address itself falls under.
    rule: Option<u32>,
}

impl<'a> Destination<'a> {
    /// `None` where nothing does.
    ///
    /// What rules list comes first: names of the address, and the network that it lies in, together. Only where there is
    /// neither, names that no rule lists count, each by itself, and an address without a name counts as one.
    #[inline(always)]
    pub fn find(address: &'a Address) -> Option<Self> {
        let settings = tables::settings()?;
        let listed = tables::listed(address);
        let (names, rule) = match (listed, tables::network(address)) {
            (None, Some(EXEMPT)) => return None,
            (Some(names), Some(EXEMPT) | None) => (Some(names), None),
            (names, Some(rule)) => (names, Some(rule)),
            (None, None) => match tables::unlisted(address) {
                None => (None, Some(DEFAULT_RULE)),
                names => (names, None),
            },
        };
        Some(Self { settings, address, names, rule })
    }

    /// Why it is refused, if it is.
    #[inline(always)]
    pub fn judge(&self, kind: Kind, amount: u64) -> Option<Refusal> {
        let now = now();
        let refusal =
            self.pass(kind, amount, Pass::Ask, now).or_else(|| self.pass(kind, amount, Pass::Charge, now));
        match refusal {
            Some(refusal) => count_refusal(refusal),
            None if kind as u32 == Kind::Rate as u32 => {
                if let Some(rule) = self.rule {
                    tables::count_host(rule, |counters| counters.allowed += 1);
                }
                if self.settings.has(Settings::PER_IP) {
                    tables::count_host(PER_IP_RULE, |counters| counters.allowed += 1);
                }
            }
            None => {}
        }
        refusal
    }

    /// The address first, and its names last, because these count what they admit.
    #[inline(always)]
    fn pass(&self, kind: Kind, amount: u64, pass: Pass, now: u64) -> Option<Refusal> {
        let mut refusal = None;
        if let Some(rule) = self.rule {
            refusal = boundary::weigh(Subject::address(rule, self.address), kind, amount, pass, now);
        }
        if matches!(kind, Kind::Rate) && self.settings.has(Settings::PER_IP) {
            let per_ip =
                boundary::weigh(Subject::address(PER_IP_RULE, self.address), kind, amount, pass, now);
            refusal = refusal.or(per_ip);
        }
        match self.names {
            Some(names) if refusal.is_none() || matches!(pass, Pass::Ask) => {
                refusal.or(boundary::weigh_all(names, kind, amount, pass, now))
            }
            _ => refusal,
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
fn protocol(ctx: &SockAddrContext) -> u32 {
    // SAFETY: as above.
    unsafe { (&raw const (*ctx.sock_addr).protocol).read_volatile() }
}

#[inline(always)]
fn port(ctx: &SockAddrContext) -> u16 {
    // SAFETY: as above; in network order, in the lower half.
    u16::from_be(unsafe { (&raw const (*ctx.sock_addr).user_port).read_volatile() } as u16)
}

#[inline(always)]
fn flow(ctx: &SockAddrContext, address: &Address, port: u16) -> Flow {
    // SAFETY: a helper for this context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    Flow { cookie, address: *address, port: port.into() }
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
