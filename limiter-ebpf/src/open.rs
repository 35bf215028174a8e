//! Open connections: a SYN is asked about, a socket is counted when it is established and when it ends.

#![expect(unsafe_code, reason = "reads the context of a socket's event")]

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE,
};
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_skb_load_bytes};
use aya_ebpf::programs::{SkBuffContext, SockOpsContext};
use limiter_common::gate::{self, TRIES};
use limiter_common::key::{Address, Place};
use limiter_common::known;
use limiter_common::open::{Correction, Count, Event, Key, Pass};
use limiter_common::pending::settle;
use limiter_common::rule::Rule;
use limiter_common::sources::Cell as _;
use limiter_common::verdict::Verdict;

use crate::atomics::Word;
use crate::boundary::Set;
use crate::boundary::open::Pending;
use crate::clock::{self, coarse_now};
use crate::inbound::outcome::Outcome;
use crate::inbound::{count_refusal, count_tenant};
use crate::tables::{inbound, open as tables};

/// Whose connections these are, and where their handshakes are pending.
struct Source {
    key: Key,
    place: Place,
}

impl Source {
    #[inline(always)]
    fn of(rule: &Rule, number: u32, address: &Address, v6: bool) -> Self {
        let mask = rule.mask(v6);
        Self {
            key: Key { rule: number, reserved: 0, source: address.masked(mask) },
            place: Place::of(inbound::secret(), number, address, mask),
        }
    }

    #[inline(always)]
    fn known(&self) -> Option<Set<'static>> {
        tables::known(self.place.set(tables::KNOWN_MASK)).map(Set)
    }

    #[inline(always)]
    fn pending(&self) -> Option<Pending<'static>> {
        tables::pending(self.place.set(tables::PENDING_MASK)).map(Pending)
    }
}

/// Judges a SYN from `address` under rule `number`, and counts it where it is refused.
#[inline(always)]
pub fn judge(address: &Address, number: u32, v6: bool, pass: Pass) -> Outcome {
    let Some(rule) = inbound::rule(number) else { return Outcome::MISSING };
    let source = Source::of(rule, number, address, v6);
    let Some(pending) = source.pending() else { return Outcome::MISSING };
    let open = || tables::open(&source.key);
    match limiter_common::open::judge(rule.max_open, open, &pending, source.place.tag(), coarse_now(), pass) {
        Verdict::Pass => Outcome::ADMIT,
        Verdict::Refuse(reason) => {
            inbound::count(number, |counters| {
                count_refusal(counters, reason);
                // It was within its rate, and another CPU was faster to take the last place.
                if matches!(pass, Pass::Charge) {
                    counters.passed = counters.passed.wrapping_sub(1);
                }
            });
            Outcome::refuse(rule, reason)
        }
    }
}

/// Whether a source has completed a handshake lately, or holds a connection.
#[inline(always)]
pub fn is_known(address: &Address, number: u32, v6: bool) -> bool {
    let Some(rule) = inbound::rule(number) else { return false };
    let source = Source::of(rule, number, address, v6);
    let is_known = source.known().is_some_and(|set| known::is_known(&set, source.place.tag(), coarse_now()));
    is_known || tables::open(&source.key) > 0
}

/// One event of a socket, of any process on this machine.
#[inline(always)]
pub fn event(ctx: &SockOpsContext) {
    // SAFETY: the kernel's own context; the verifier turns each of these volatile reads into a load of the real field.
    let (event, old, new) = unsafe {
        let args = (&raw const (*ctx.ops).__bindgen_anon_1.args).cast::<u32>();
        ((&raw const (*ctx.ops).op).read_volatile(), args.read_volatile(), args.add(1).read_volatile())
    };
    match event {
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            if let Some(source) = source(ctx) {
                // Another program may have asked for events as well.
                let flags = ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
                // Without it the end of this connection is found by the daemon.
                let _ = ctx.set_cb_flags(flags as i32);
                opened(&source);
                charge(&source);
                meet(&source);
            }
        }
        // A socket that goes to TIME_WAIT is replaced by a smaller one, and is itself closed.
        BPF_SOCK_OPS_STATE_CB if new == BPF_TCP_CLOSE && old != BPF_TCP_CLOSE => {
            if let Some(source) = source(ctx) {
                closed(&source.key);
                // It was there until now, however long its handshake is ago.
                meet(&source);
            }
        }
        _ => {}
    }
}

/// Whose connection it is, if it is one to a port with a limit.
#[inline(always)]
fn source(ctx: &SockOpsContext) -> Option<Source> {
    // SAFETY: as above; in the machine's order.
    let port = unsafe { (&raw const (*ctx.ops).local_port).read_volatile() };
    let number = inbound::rule_number(port as u16)?;
    if number == 0 {
        return None;
    }
    let rule = inbound::rule(number)?;
    if !rule.watches_handshakes() {
        return None;
    }
    // SAFETY: a helper for this context (kernel 5.15).
    if unsafe { bpf_get_netns_cookie(ctx.as_ptr()) } != tables::namespace() {
        tables::count_event(Event::OtherNamespace);
        return None;
    }
    let address = remote(ctx);
    Some(Source::of(rule, number, &address, address.is_v6()))
}

/// Who is at the other end. What is IPv4-mapped is IPv4.
#[inline(always)]
fn remote(ctx: &SockOpsContext) -> Address {
    const AF_INET: u32 = 2;
    // SAFETY: as above.
    if unsafe { (&raw const (*ctx.ops).family).read_volatile() } == AF_INET {
        // SAFETY: as above; in network order.
        let address = unsafe { (&raw const (*ctx.ops).remote_ip4).read_volatile() };
        return Address::from_words([0, 0, 0xffff, u32::from_be(address)]);
    }
    // SAFETY: as above; each word is loaded by itself.
    let word = |i: usize| unsafe { (&raw const (*ctx.ops).remote_ip6[i]).read_volatile() };
    Address::from_words([word(0), word(1), word(2), word(3)].map(u32::from_be))
}

/// First it is open, then it is no longer pending: in between it counts twice, and never not at all.
#[inline(always)]
fn opened(source: &Source) {
    tables::count_event(add(&source.key));
    if let Some(pending) = source.pending() {
        // Where other CPUs are faster in every try, it expires by itself.
        let _ = settle(&pending, source.place.tag(), coarse_now());
    }
}

#[inline(always)]
fn meet(source: &Source) {
    if let Some(set) = source.known() {
        known::meet(&set, source.place.tag(), coarse_now());
    }
}

/// Charges a handshake to its source's rate, where the rule says so.
#[inline(always)]
fn charge(source: &Source) {
    let number = source.key.rule;
    let Some(rule) = inbound::rule(number).filter(|rule| rule.charges_handshakes()) else { return };
    if let Some(cells) = inbound::cells(source.place.set(inbound::set_mask())) {
        // By the clock that its SYNs are judged by.
        let now = if rule.is_coarse() { coarse_now() } else { clock::now() };
        let tenant = gate::charge_handshake(rule, &Set(cells), source.place.tag(), now);
        inbound::count(number, |counters| count_tenant(counters, tenant));
    }
}

#[inline(always)]
fn add(key: &Key) -> Event {
    for _ in 0..TRIES {
        match tables::count(key) {
            Some(word) => {
                let old = word.load();
                if word.compare_exchange(old, Count::from_bits(old).opened().bits()) {
                    return Event::Opened;
                }
            }
            // Changes are counted from the time on, so that no count looks like one that was there before.
            None if tables::insert(key, Count::none(seed()).opened()) => return Event::Opened,
            None if tables::count(key).is_none() => return Event::Full,
            None => {}
        }
    }
    Event::Contention
}

#[inline(always)]
fn closed(key: &Key) {
    let Some(word) = tables::count(key) else { return };
    for _ in 0..TRIES {
        let old = word.load();
        let count = Count::from_bits(old).closed();
        if word.compare_exchange(old, count.bits()) {
            tables::count_event(Event::Closed);
            // A connection that another CPU counts here meanwhile is lost with the count; the daemon finds it again.
            if count.open() == 0 {
                tables::remove(key);
            }
            return;
        }
    }
    tables::count_event(Event::Contention);
}

/// Carries out a correction that the daemon hands over as a packet; says whether the count was still as expected.
#[inline(always)]
pub fn correct(ctx: &SkBuffContext) -> bool {
    let mut wanted = Correction {
        key: Key { rule: 0, reserved: 0, source: Address::from_words([0; 4]) },
        expected: 0,
        next: 0,
        counted: 0,
    };
    let length = size_of::<Correction>() as u32;
    // SAFETY: the helper writes this many bytes, zeros where it fails; any bytes are a value.
    let result = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), 0, (&raw mut wanted).cast(), length) };
    let corrected = result == 0
        && match tables::count(&wanted.key) {
            Some(word) => replace(word, &wanted),
            None => {
                wanted.expected == Correction::ABSENT
                    && tables::insert(&wanted.key, Count::from_bits(wanted.next))
            }
        };
    if corrected && wanted.counted != 0 {
        tables::count_event(Event::Healed);
    }
    corrected
}

#[inline(always)]
fn replace(word: &Word, wanted: &Correction) -> bool {
    let replaced = word.compare_exchange(wanted.expected, wanted.next);
    if replaced && Count::from_bits(wanted.next).open() == 0 {
        tables::remove(&wanted.key);
    }
    replaced
}

#[inline(always)]
fn seed() -> u32 {
    clock::now() as u32
}
