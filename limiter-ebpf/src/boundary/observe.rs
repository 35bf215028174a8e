//! The same for DNS messages.

use core::ffi::c_void;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_loop;
use limiter_common::dns::{MAX_STEPS, Part, Step};
use limiter_common::key::Address;
use limiter_common::name::{MAX_LABELS, MAX_NAME, NameId};
use limiter_common::outbound::tables::QueryKey;

use crate::observe::{self, Lesson, Naming, Responder};

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
    // SAFETY: made of a reference, or null.
    if let Some(server) = unsafe { server.as_ref() } {
        let from = Responder { server, once: offset & ONCE != 0 };
        observe::answer(skb, offset as u32, part(lengths), Some(from));
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_query(skb: *mut __sk_buff, offset: u64, lengths: u64, server: *const Address) -> u64 {
    // SAFETY: made of a reference, or null.
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
    // SAFETY: made of a reference, or null.
    let Some(server) = (unsafe { server.as_ref() }) else {
        return 0;
    };
    let key = QueryKey { cookie, name, message: message & !ONCE };
    observe::find_query(&key, Responder { server, once: message & ONCE != 0 }).map_or(0, NameId::bits)
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
// and find what they change behind a pointer into map memory, but for some numbers that may be any.

/// Reads the name in a question.
#[inline(always)]
pub fn read_name(naming: &mut Naming) {
    turn(MAX_NAME as u32 + 1, question_step, naming);
}

extern "C" fn question_step(_: u32, naming: *mut Naming) -> i64 {
    // SAFETY: `turn` passes on what `read_name` was given, which nobody else uses meanwhile.
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
