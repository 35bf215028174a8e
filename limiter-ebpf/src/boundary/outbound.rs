//! The same for the outbound programs.

use core::ffi::c_void;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_loop;
use aya_ebpf::programs::SkBuffContext;
use limiter_common::dns::{MAX_STEPS, Part, Step};
use limiter_common::gate::TRIES;
use limiter_common::gcra::Limit;
use limiter_common::key::Address;
use limiter_common::mapping::{NAMES, SharedNames};
use limiter_common::name::{MAX_LABELS, MAX_NAME, NameId};
use limiter_common::outbound::{Kind, Opinion, Pass, QueryKey, Subject};
use limiter_common::sources::WAYS;
use limiter_common::verdict::Reason;

use crate::atomics::Word;
use crate::boundary::Set;
use crate::datagram::{self, Datagram, Direction};
use crate::observe::{self, Lesson, Naming};
use crate::outbound::{self, Destination};

/// A refusal as a number: the reason and 1, and above it the rule. 0 is none.
const RULE: u32 = 8;
/// Beside a rule or a tag: to be charged, and not only asked.
const CHARGE: u64 = 1 << 40;
/// In a judgement: nothing is held there.
const EXEMPT: u64 = 0xff;

/// Why and by which rule something is refused.
#[derive(Clone, Copy)]
pub struct Refusal {
    pub reason: Reason,
    pub rule: u32,
}

/// What became of a connection or packet.
#[derive(Clone, Copy)]
pub enum Judgement {
    Admit,
    Exempt,
    Refuse,
}

/// Asks or charges a subject.
#[inline(always)]
pub fn weigh(subject: Subject, kind: Kind, amount: u64, pass: Pass, now: u64) -> Option<Refusal> {
    decode(weigh_subject(pack(subject.rule, kind, pass), subject.key[0], subject.key[1], now, amount))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn weigh_subject(what: u64, key0: u64, key1: u64, now: u64, amount: u64) -> u64 {
    let (rule, kind, pass) = unpack(what);
    match outbound::weigh(Subject { rule, key: [key0, key1] }, kind, amount, pass, now) {
        None => 0,
        Some(reason) => encode(Refusal { reason, rule }),
    }
}

/// Asks or charges one state, as [`limiter_common::outbound::weigh`].
#[inline(always)]
pub fn weigh_state(
    limit: &Limit,
    cells: &[Word; WAYS],
    tag: u16,
    now: u64,
    cost: u64,
    pass: Pass,
) -> Opinion {
    let how = u64::from(tag) | if matches!(pass, Pass::Charge) { CHARGE } else { 0 };
    for _ in 0..TRIES {
        match try_to_weigh(&raw const *limit, &raw const *cells, how, now, cost) {
            0 => return Opinion::Admit,
            1 => return Opinion::Over,
            2 => return Opinion::BackingOff,
            _ => {}
        }
    }
    Opinion::Contention
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn try_to_weigh(
    limit: *const Limit,
    cells: *const [Word; WAYS],
    how: u64,
    now: u64,
    cost: u64,
) -> u64 {
    // SAFETY: as in `weigh_names`.
    let (Some(limit), Some(cells)) = (unsafe { limit.as_ref() }, unsafe { cells.as_ref() }) else {
        return 0;
    };
    let pass = if how & CHARGE == 0 { Pass::Ask } else { Pass::Charge };
    match limiter_common::outbound::try_to_weigh(limit, &Set(cells), how as u16, now, cost, pass) {
        Some(Opinion::Admit) => 0,
        Some(Opinion::Over) => 1,
        Some(Opinion::BackingOff) => 2,
        Some(Opinion::Contention) | None => 3,
    }
}

/// Asks or charges each name of an address.
#[inline(always)]
pub fn weigh_all(
    names: &SharedNames<Word>,
    kind: Kind,
    amount: u64,
    pass: Pass,
    now: u64,
) -> Option<Refusal> {
    let words: *const SharedNames<Word> = names;
    decode(weigh_names(words.cast(), pack(0, kind, pass), now, amount))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn weigh_names(names: *const [Word; 2 * NAMES], what: u64, now: u64, amount: u64) -> u64 {
    // SAFETY: the verifier lets no caller through that does not point to that many words, or to null.
    let Some(names) = (unsafe { names.cast::<SharedNames<Word>>().as_ref() }) else {
        return 0;
    };
    let (_, kind, pass) = unpack(what);
    let mut first = 0;
    for place in 0..NAMES {
        let Some(id) = names.get(place) else { continue };
        let refusal = weigh_subject(pack(id.rule(), kind, pass), id.bits(), u64::MAX, now, amount);
        if refusal != 0 {
            outbound::count_refused(id);
            if first == 0 {
                first = refusal;
            }
        } else if matches!((kind, pass), (Kind::Rate, Pass::Charge)) {
            outbound::count_allowed(id);
        }
    }
    first
}

/// Judges something that goes to an address.
#[inline(always)]
pub fn judge(address: &Address, kind: Kind, amount: u64) -> Judgement {
    match judge_destination(&raw const *address, kind as u64, amount) {
        0 => Judgement::Admit,
        EXEMPT => Judgement::Exempt,
        _ => Judgement::Refuse,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_destination(address: *const Address, kind: u64, amount: u64) -> u64 {
    // SAFETY: as in `weigh_names`.
    let Some(address) = (unsafe { address.as_ref() }) else {
        return 0;
    };
    match Destination::find(address) {
        None => EXEMPT,
        Some(destination) => destination.judge(Kind::from_number(kind as u32), amount).map_or(0, encode),
    }
}

#[inline(always)]
const fn pack(rule: u32, kind: Kind, pass: Pass) -> u64 {
    rule as u64 | (kind as u64) << 32 | if matches!(pass, Pass::Charge) { CHARGE } else { 0 }
}

#[inline(always)]
const fn unpack(what: u64) -> (u32, Kind, Pass) {
    let pass = if what & CHARGE == 0 { Pass::Ask } else { Pass::Charge };
    (what as u32, Kind::from_number((what >> 32) as u32 & 0xff), pass)
}

#[inline(always)]
const fn encode(refusal: Refusal) -> u64 {
    (refusal.rule as u64) << RULE | (refusal.reason as u64 + 1)
}

#[inline(always)]
fn decode(number: u64) -> Option<Refusal> {
    let reason = (number as u32 & 0xff).checked_sub(1)?;
    Some(Refusal { reason: Reason::from_number(reason)?, rule: (number >> RULE) as u32 })
}

/// Finds the payload of a packet; says no where there is none.
#[inline(always)]
pub fn find_datagram(ctx: &SkBuffContext, direction: Direction, found: &mut Datagram) -> bool {
    find_payload(ctx.skb.skb, u64::from(direction == Direction::Sent), &raw mut *found) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_payload(skb: *mut __sk_buff, is_sent: u64, found: *mut Datagram) -> u64 {
    let direction = if is_sent == 1 { Direction::Sent } else { Direction::Received };
    // SAFETY: as in `weigh_names`.
    let Some(found) = (unsafe { found.as_mut() }) else {
        return 0;
    };
    datagram::find(&SkBuffContext::new(skb), direction, found).into()
}

/// Reads the DNS message that lies, or begins, `offset` bytes into a packet: what it asks, or what it answers.
///
/// The result is not 0 where the packet must not go on.
#[inline(always)]
pub fn read_message(skb: *mut __sk_buff, offset: u32, part: Part, server: &Address, answer: bool) -> bool {
    let lengths = u64::from(part.whole) << 32 | u64::from(part.here);
    if answer {
        read_answer(skb, offset.into(), lengths, &raw const *server) != 0
    } else {
        read_query(skb, offset.into(), lengths, &raw const *server) != 0
    }
}

#[inline(always)]
const fn part(lengths: u64) -> Part {
    Part { whole: (lengths >> 32) as u32, here: lengths as u32 }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_answer(skb: *mut __sk_buff, offset: u64, lengths: u64, server: *const Address) -> u64 {
    // SAFETY: as in `weigh_names`.
    if let Some(server) = unsafe { server.as_ref() } {
        observe::answer(skb, offset as u32, part(lengths), Some(server));
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_query(skb: *mut __sk_buff, offset: u64, lengths: u64, server: *const Address) -> u64 {
    // SAFETY: as in `weigh_names`.
    let Some(server) = (unsafe { server.as_ref() }) else {
        return 0;
    };
    observe::query(skb, offset as u32, part(lengths), server).into()
}

/// The name that was asked for by a query, by its socket, hash and id.
#[inline(always)]
pub fn find_query(cookie: u64, name: u64, id: u64, server: &Address) -> Option<NameId> {
    NameId::from_bits(find_noted_query(cookie, name, id, &raw const *server))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_noted_query(cookie: u64, name: u64, id: u64, server: *const Address) -> u64 {
    // SAFETY: as in `weigh_names`.
    let Some(server) = (unsafe { server.as_ref() }) else {
        return 0;
    };
    observe::find_query(&QueryKey { cookie, name, id }, server).map_or(0, NameId::bits)
}

/// Gives an address one more name; says whether that could be done.
#[inline(always)]
pub fn learn(address: &Address, id: NameId, now: u64, until: u64) {
    learn_address(&raw const *address, id.bits(), now, until);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn learn_address(address: *const Address, id: u64, now: u64, until: u64) -> u64 {
    // SAFETY: as in `weigh_names`.
    if let (Some(address), Some(id)) = (unsafe { address.as_ref() }, NameId::from_bits(id)) {
        observe::learn(address, id, now, until);
    }
    0
}

// The loops below are callbacks of `bpf_loop`, which the verifier follows once and not once a turn. They must be private,
// and find all that they change behind a pointer into map memory.

/// Reads the name in a question.
#[inline(always)]
pub fn read_name(naming: &mut Naming) {
    turn(MAX_NAME as u32 + 1, question_step, naming);
}

extern "C" fn question_step(_: u32, naming: *mut Naming) -> i64 {
    // SAFETY: `turn` passes on what `read_name` was given.
    let naming = unsafe { &mut *naming };
    let names = naming.names();
    (naming.walk().question_step(names) == Step::End).into()
}

/// Hashes the name from its end, and looks for the rule that lists it.
#[inline(always)]
pub fn hash_name(naming: &mut Naming) {
    turn(MAX_LABELS as u32, hash_step, naming);
}

extern "C" fn hash_step(count: u32, naming: *mut Naming) -> i64 {
    // SAFETY: as above.
    let naming = unsafe { &mut *naming };
    naming.push_label(count).into()
}

/// Reads the records of an answer and learns from them.
#[inline(always)]
pub fn read_records(lesson: &mut Lesson) {
    turn(MAX_STEPS + 1, record_step, lesson);
}

extern "C" fn record_step(_: u32, lesson: *mut Lesson) -> i64 {
    // SAFETY: as above.
    let lesson = unsafe { &mut *lesson };
    match lesson.walk().record_step() {
        Step::More => 0,
        Step::End => 1,
        Step::Address(record) => {
            lesson.learn(&record);
            0
        }
    }
}

#[inline(always)]
fn turn<T>(times: u32, step: extern "C" fn(u32, *mut T) -> i64, state: &mut T) {
    let state: *mut T = state;
    // SAFETY: the callback has the shape that the helper asks for (kernel 5.17), and the state outlives the call.
    unsafe { bpf_loop(times, step as *mut c_void, state.cast(), 0) };
}
