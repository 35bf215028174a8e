//! DNS messages of the limited processes: a query is noted, its answer gives addresses their name.

#![expect(unsafe_code, reason = "works on a desk that it has taken, through callbacks")]

use core::ffi::c_void;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_skb_load_bytes};
use limiter_common::dns::{Header, MAX_MESSAGE, Part, Record, Unread, Walk};
use limiter_common::key::Address;
use limiter_common::mapping::{self, Learned};
use limiter_common::name::{NameHash, NameId, NameSecret};
use limiter_common::outbound::tables::{Event, QUERY_PATIENCE, Query, QueryKey};
use limiter_common::outbound::{DEFAULT_RULE, Kind, Pass, Settings, Subject};

use crate::boundary::{observe as boundary, outbound as judgement, report};
use crate::clock::now;
use crate::outbound::{destination, subject};
use crate::tables::desk::Desk;
use crate::tables::outbound as tables;

/// The port of a name server.
const DNS: u16 = 53;

/// Who answers.
#[derive(Clone, Copy)]
pub struct Responder<'a> {
    pub server: &'a Address,
    /// Its query has one answer, and is forgotten after it. A stream may bring several messages that answer one.
    pub once: bool,
}

/// A query is noted; says whether it must not be sent.
#[inline(always)]
pub fn query(skb: *mut __sk_buff, offset: u32, part: Part, server: &Address) -> bool {
    let Some((desk, settings)) = sit_down() else { return false };
    let result = note(desk, settings, skb, offset, part, server);
    desk.leave();
    result.map_err(|why| tables::count_unread(part.blame(why))).unwrap_or(false)
}

/// The addresses in an answer get the name that was asked for.
///
/// From a server, only where it was asked for that name; and where not all of such an answer can be read, the name goes
/// to the daemon, which asks for it again.
#[inline(always)]
pub fn answer(skb: *mut __sk_buff, offset: u32, part: Part, from: Option<Responder>) {
    let Some((desk, settings)) = sit_down() else { return };
    let result = learn_from(desk, settings, skb, offset, part, from);
    desk.leave();
    if let Err(why) = result {
        tables::count_unread(part.blame(why));
    }
}

/// Who sits down must leave.
#[inline(always)]
fn sit_down() -> Option<(&'static mut Desk, &'static Settings)> {
    let (Some(settings), Some(desk)) = (tables::settings(), Desk::take()) else {
        tables::count_unread(Unread::Internal);
        return None;
    };
    // SAFETY: an element of an array that nobody else works on until it is left; others only try to take it, by a word of
    // its own.
    Some((unsafe { &mut *desk }, settings))
}

#[inline(always)]
fn note(
    desk: &mut Desk,
    settings: &'static Settings,
    skb: *mut __sk_buff,
    offset: u32,
    part: Part,
    server: &Address,
) -> Result<bool, Unread> {
    let header = load(desk, skb, offset, part)?;
    if header.is_answer {
        return Ok(false);
    }
    let mut naming = Naming::new(desk, settings, true);
    let (hash, rule, kind) = naming.run()?;
    let id = NameId::new(rule, hash);
    let message = QueryKey::message(header.id, kind);
    let now = now();
    desk.noted = (
        QueryKey { cookie: cookie(skb), name: hash.number(), message },
        Query { server: *server, until: now + QUERY_PATIENCE, id: id.bits() },
    );
    tables::note(&desk.noted.0, &desk.noted.1)?;
    tables::count_event(Event::Query);
    if !settings.has(Settings::LOOKUPS) {
        return Ok(false);
    }
    let answer = judgement::weigh(Subject::name(id), Kind::Lookups, 1, Pass::Charge, now).of(id);
    let refusal = answer.refusal();
    if let Some(refusal) = refusal {
        subject::count_refused(id);
        destination::count_refusal(refusal);
        // From there: kept until here, it would take more of the stack than there is.
        report::outbound(answer, &desk.noted.1.server, DNS);
    }
    Ok(refusal.is_some())
}

#[inline(always)]
fn learn_from(
    desk: &mut Desk,
    settings: &'static Settings,
    skb: *mut __sk_buff,
    offset: u32,
    part: Part,
    from: Option<Responder>,
) -> Result<(), Unread> {
    let header = load(desk, skb, offset, part)?;
    if !header.is_answer {
        return Err(Unread::Unsolicited);
    }
    let mut naming = Naming::new(desk, settings, from.is_none());
    let (hash, rule, kind) = naming.run()?;
    let now = now();
    let id = match from {
        None => NameId::new(rule, hash),
        Some(from) => {
            let message = QueryKey::message(header.id, kind);
            let query = boundary::find_query(cookie(skb), hash.number(), message, from);
            query.ok_or(Unread::Unsolicited)?
        }
    };
    tables::count_event(Event::Answer);
    let read = learn_records(desk, &header, id, now);
    if let (Err(why), Some(_)) = (read, from) {
        desk.hand_over(part.blame(why));
    }
    read
}

/// The name, with its rule, that a socket asked this server for, within the time in which an answer teaches.
#[inline(always)]
pub fn find_query(key: &QueryKey, from: Responder) -> Option<NameId> {
    let query = tables::query(key)?;
    if query.server.halves() != from.server.halves() || query.until < now() {
        return None;
    }
    if from.once {
        tables::forget(key);
    }
    NameId::from_bits(query.id)
}

#[inline(always)]
fn learn_records(desk: &mut Desk, header: &Header, id: NameId, now: u64) -> Result<(), Unread> {
    if header.answers == 0 {
        return Ok(());
    }
    let all = desk.walk.limit_records();
    let mut lesson = Lesson { walk: &raw mut desk.walk, id: id.bits(), now, learned: 0 };
    boundary::read_records(&mut lesson);
    if lesson.learned != 0 {
        desk.keep_name(id, now);
    }
    desk.walk.failure()?;
    all
}

#[inline(always)]
fn load(desk: &mut Desk, skb: *mut __sk_buff, offset: u32, part: Part) -> Result<Header, Unread> {
    const MOST: u32 = MAX_MESSAGE as u32;
    const _: () = assert!(MOST.is_power_of_two());

    if part.read() == 0 {
        return Err(Unread::Truncated);
    }
    // The compiler must not remember where this comes from: the verifier looks at the number alone, and that of kernel
    // 6.1 learns from a comparison with 0 that it is not 0, but not that it is 1 at least.
    let read = (core::hint::black_box(part.read()).wrapping_sub(1) & (MOST - 1)) + 1;
    let buffer: *mut c_void = (&raw mut *desk.walk.buffer()).cast();
    // SAFETY: the buffer has `MOST` bytes, and no more are read.
    if unsafe { bpf_skb_load_bytes(skb.cast(), offset, buffer, read) } != 0 {
        return Err(Unread::Truncated);
    }
    desk.walk.begin(read)
}

#[inline(always)]
pub fn cookie(skb: *mut __sk_buff) -> u64 {
    // SAFETY: a helper for this context.
    unsafe { bpf_get_socket_cookie(skb.cast()) }
}

/// A name while it is read and hashed. Callbacks get a pointer to it.
pub struct Naming {
    walk: *mut Walk,
    settings: &'static Settings,
    with_rules: bool,
    hash: NameHash,
    rule: u32,
}

impl Naming {
    #[inline(always)]
    fn new(desk: &mut Desk, settings: &'static Settings, with_rules: bool) -> Self {
        let walk = &raw mut desk.walk;
        Self { walk, settings, with_rules, hash: NameHash::ROOT, rule: DEFAULT_RULE }
    }

    /// The hash of the name, the number of its rule, and the type that is asked for.
    #[inline(always)]
    fn run(&mut self) -> Result<(NameHash, u32, u16), Unread> {
        boundary::read_name(self);
        let kind = self.walk().question()?.kind;
        boundary::hash_name(self);
        // SAFETY: its own fields; volatile, because the callback has changed them and the compiler need not know.
        Ok(unsafe { ((&raw const self.hash).read_volatile(), (&raw const self.rule).read_volatile(), kind) })
    }

    #[inline(always)]
    pub fn walk(&mut self) -> &mut Walk {
        // SAFETY: part of the desk that is taken, and whoever made this leaves it alone while this is used.
        unsafe { &mut *self.walk }
    }

    #[inline(always)]
    pub const fn names(&self) -> &'static NameSecret {
        &self.settings.names
    }

    /// Takes one label more into the hash, from the end of the name; says whether that was the first one.
    ///
    /// The rule of the longest name wins, since it comes last: first wildcards, the shortest first, then the very name.
    #[inline(always)]
    pub fn push_label(&mut self, count: u32) -> bool {
        let labels = self.walk().labels();
        if count >= labels {
            return true;
        }
        let (names, hash) = (self.names(), self.hash);
        self.hash = self.walk().fold(names, hash, count);
        if !self.with_rules {
            return false;
        }
        let is_whole = count + 1 == labels;
        if !is_whole && !self.settings.has(Settings::WILDCARDS) {
            return false;
        }
        let key = if is_whole { self.hash.exact_key() } else { self.hash.wildcard_key() };
        if let Some(rule) = tables::pattern(key) {
            self.rule = rule;
        }
        is_whole
    }
}

/// An answer while it is read. Callbacks get a pointer to it.
pub struct Lesson {
    walk: *mut Walk,
    id: u64,
    now: u64,
    /// 1 once there was an address.
    learned: u64,
}

impl Lesson {
    #[inline(always)]
    pub fn walk(&mut self) -> &mut Walk {
        // SAFETY: part of the desk that is taken, and whoever made this leaves it alone while this is used.
        unsafe { &mut *self.walk }
    }

    #[inline(always)]
    pub fn learn(&mut self, record: &Record) {
        self.learned = 1;
        if let Some(id) = NameId::from_bits(self.id) {
            boundary::learn(&record.address, id, self.now, mapping::until(self.now, record.ttl));
        }
    }
}

/// Gives an address one more name, and counts what came of it.
#[inline(always)]
pub fn learn(address: &Address, id: NameId, now: u64, until: u64) {
    match tables::learn(address, id, now, until) {
        Some(Learned::Known) => {}
        Some(Learned::New) => tables::count_event(Event::Mapped),
        Some(Learned::Full) => tables::count_unread(Unread::NamesFull),
        None => tables::count_unread(Unread::AddressesFull),
    }
}
