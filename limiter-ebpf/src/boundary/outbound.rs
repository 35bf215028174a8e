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
use limiter_common::maps::MAX_HOST_RULES;
use limiter_common::name::{MAX_LABELS, MAX_NAME, NameId};
use limiter_common::outbound::tables::QueryKey;
use limiter_common::outbound::{Kind, Opinion, Pass, Subject};
use limiter_common::packet::extensions::{self, Upper};
use limiter_common::sources::WAYS;
use limiter_common::verdict::{Reason, Skip};

use crate::atomics::Word;
use crate::boundary::{Set, pack_upper, unpack_upper};
use crate::datagram::{self, Datagram};
use crate::frame::{Direction, SocketPacket};
use crate::observe::{self, Lesson, Naming, Responder};
use crate::outbound::{self, Destination};
use crate::stream;

/// What subjects said: 0 where all admit, or else the name that refuses, as its [`NameId`], or only the rule where that is
/// an address; and above it the reason and 1.
///
/// A number also where it is passed on: of an `Option` the compiler leaves half undefined, which the verifier refuses.
#[derive(Clone, Copy)]
pub struct Answer(u64);

impl Answer {
    pub const ADMIT: Self = Self(0);
    const REASON: u32 = 60;
    const NAME: u64 = (1 << Self::REASON) - 1;
    const RULE: u32 = 48;

    #[inline(always)]
    const fn refuse(rule: u32, reason: Reason) -> Self {
        Self((reason as u64 + 1) << Self::REASON | (rule as u64) << Self::RULE)
    }

    #[inline(always)]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The same, where the subject is a name.
    #[inline(always)]
    pub const fn of(self, id: NameId) -> Self {
        if self.admits() { self } else { Self(self.0 | id.bits()) }
    }

    /// The name that refuses; `None` where that is an address.
    #[inline(always)]
    pub const fn name(self) -> Option<NameId> {
        if self.0 & ((1 << Self::RULE) - 1) == 0 { None } else { NameId::from_bits(self.0 & Self::NAME) }
    }

    #[inline(always)]
    pub const fn admits(self) -> bool {
        self.0 == 0
    }

    /// This one, or the other where this one admits.
    #[inline(always)]
    pub const fn or(self, other: Self) -> Self {
        if self.admits() { other } else { self }
    }

    #[inline(always)]
    pub fn refusal(self) -> Option<Refusal> {
        let reason = ((self.0 >> Self::REASON) as u32).checked_sub(1)?;
        let rule = ((self.0 & Self::NAME) >> Self::RULE) as u32;
        Some(Refusal { reason: Reason::from_number(reason)?, rule })
    }
}

// A rule's number has the sixteen upper bits of a name, of which the reason takes four.
const _: () = assert!(MAX_HOST_RULES <= 1 << 12 && Reason::ALL.len() < 1 << 4);

/// Beside a rule or a tag: to be charged, and not only asked.
const CHARGE: u64 = 1 << 40;
/// In a judgement: nothing is held there. No answer, which has a reason.
const EXEMPT: u64 = 1;

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
    Refuse(Answer),
}

/// Asks or charges a subject. [`Kind::Bytes`] are those of one packet, which is weighed as such before them.
#[inline(always)]
pub fn weigh(subject: Subject, kind: Kind, amount: u64, pass: Pass, now: u64) -> Answer {
    let Subject { rule, key: [key0, key1] } = subject;
    if matches!(kind, Kind::Bytes) {
        let refusal = weigh_subject(pack(rule, Kind::Packets, pass), key0, key1, now, 1);
        if refusal != 0 {
            return Answer(refusal);
        }
    }
    Answer(weigh_subject(pack(rule, kind, pass), key0, key1, now, amount))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn weigh_subject(what: u64, key0: u64, key1: u64, now: u64, amount: u64) -> u64 {
    let (rule, kind, pass) = unpack(what);
    match outbound::weigh(Subject { rule, key: [key0, key1] }, kind, amount, pass, now) {
        None => 0,
        Some(reason) => Answer::refuse(rule, reason).0,
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
pub fn weigh_all(names: &SharedNames<Word>, kind: Kind, amount: u64, pass: Pass, now: u64) -> Answer {
    let words: *const SharedNames<Word> = names;
    Answer(weigh_names(words.cast(), pack(0, kind, pass), now, amount))
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
        // They fill from the first place on.
        let Some(id) = names.get(place) else { break };
        let refusal = weigh(Subject::name(id), kind, amount, pass, now).of(id).0;
        let charged = matches!((kind, pass), (Kind::Rate, Pass::Charge));
        // Not called for nothing: a call costs more than what it decides.
        if refusal != 0 || charged {
            count_name(id.bits(), refusal, charged.into());
        }
        if first == 0 {
            first = refusal;
        }
    }
    first
}

/// In the loop of `weigh_names` itself, LLVM would make of it a loop that the verifier of kernel 6.1 does not know as one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_name(id: u64, refusal: u64, charged: u64) -> u64 {
    if let Some(id) = NameId::from_bits(id) {
        if refusal != 0 {
            outbound::count_refused(id);
        } else if charged != 0 {
            outbound::count_allowed(id);
        }
    }
    0
}

/// Judges something that goes to an address: asks only, or asks and charges.
#[inline(always)]
pub fn judge(address: &Address, kind: Kind, amount: u64, pass: Pass) -> Judgement {
    let [upper, lower] = address.halves();
    match judge_destination(upper, lower, pack(0, kind, pass), amount) {
        0 => Judgement::Admit,
        EXEMPT => Judgement::Exempt,
        answer => Judgement::Refuse(Answer(answer)),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_destination(upper: u64, lower: u64, what: u64, amount: u64) -> u64 {
    let (_, kind, pass) = unpack(what);
    let address = &Address::from_halves([upper, lower]);
    match Destination::find(address) {
        None => EXEMPT,
        Some(destination) => destination.judge(kind, amount, pass).0,
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

/// Reads the messages in a segment that is sent, as [`stream::read`].
#[inline(always)]
pub fn read_sent(ctx: &SkBuffContext, segment: &mut Datagram) -> bool {
    read_sent_segment(ctx.skb.skb, &raw mut *segment) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_sent_segment(skb: *mut __sk_buff, segment: *mut Datagram) -> u64 {
    // SAFETY: as in `weigh_names`.
    let Some(segment) = (unsafe { segment.as_mut() }) else {
        return 0;
    };
    stream::read(&SkBuffContext::new(skb), segment, Direction::Sent).into()
}

/// Reads the DNS message that lies, or begins, `offset` bytes into a packet: what it asks, or what it answers.
///
/// Says whether the packet must not go on.
#[inline(always)]
pub fn read_message(
    skb: *mut __sk_buff,
    offset: u32,
    part: Part,
    server: &Address,
    message: Message,
) -> bool {
    let lengths = u64::from(part.whole) << 32 | u64::from(part.here);
    let offset = u64::from(offset);
    match message {
        Message::Query => read_query(skb, offset, lengths, &raw const *server) != 0,
        Message::Answer => read_answer(skb, offset, lengths, &raw const *server) != 0,
        Message::OnlyAnswer => read_answer(skb, offset | ONCE, lengths, &raw const *server) != 0,
    }
}

/// What a DNS message is.
#[derive(Clone, Copy)]
pub enum Message {
    Query,
    Answer,
    /// After which none is waited for.
    OnlyAnswer,
}

/// Beside an offset, or what tells a query: there is one answer.
const ONCE: u64 = 1 << 40;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_answer(skb: *mut __sk_buff, offset: u64, lengths: u64, server: *const Address) -> u64 {
    // SAFETY: as in `weigh_names`.
    if let Some(server) = unsafe { server.as_ref() } {
        let from = Responder { server, once: offset & ONCE != 0 };
        observe::answer(skb, offset as u32, part(lengths), Some(from));
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

#[inline(always)]
const fn part(lengths: u64) -> Part {
    Part { whole: (lengths >> 32) as u32, here: lengths as u32 }
}

/// The name that was asked for by a query, by its socket, its name's hash, and its [message](QueryKey::message).
#[inline(always)]
pub fn find_query(cookie: u64, name: u64, message: u64, from: Responder) -> Option<NameId> {
    let once = if from.once { ONCE } else { 0 };
    NameId::from_bits(find_noted_query(cookie, name, message | once, &raw const *from.server))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_noted_query(cookie: u64, name: u64, message: u64, server: *const Address) -> u64 {
    // SAFETY: as in `weigh_names`.
    let Some(server) = (unsafe { server.as_ref() }) else {
        return 0;
    };
    let key = QueryKey { cookie, name, message: message & !ONCE };
    observe::find_query(&key, Responder { server, once: message & ONCE != 0 }).map_or(0, NameId::bits)
}

/// Finds what is behind the extension headers of a packet that a socket sends or receives.
#[inline(always)]
pub fn skip_extensions(skb: *mut __sk_buff, first: u8) -> Result<Upper, Skip> {
    unpack_upper(skip_socket_extensions(skb, first.into()))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn skip_socket_extensions(skb: *mut __sk_buff, first: u64) -> u64 {
    const HEADER: usize = 40;

    pack_upper(extensions::skip(&SocketPacket(skb), first as u8, HEADER))
}

/// Gives an address one more name; says whether that could be done.
#[inline(always)]
pub fn learn(address: &Address, id: NameId, now: u64, until: u64) {
    let [upper, lower] = address.halves();
    learn_address(upper, lower, id.bits(), now, until);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn learn_address(upper: u64, lower: u64, id: u64, now: u64, until: u64) -> u64 {
    if let Some(id) = NameId::from_bits(id) {
        observe::learn(&Address::from_halves([upper, lower]), id, now, until);
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
