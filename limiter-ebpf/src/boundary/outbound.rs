//! The same for what goes out.

use limiter_common::gate::TRIES;
use limiter_common::gcra::Limit;
use limiter_common::key::Address;
use limiter_common::mapping::{NAMES, SharedNames};
use limiter_common::name::NameId;
use limiter_common::outbound::{Kind, Opinion, Pass, Subject};
use limiter_common::sources::WAYS;

use super::Set;
use crate::atomics::Word;
use crate::outbound::answer::{Answer, Judgement};
use crate::outbound::destination::Destination;
use crate::outbound::subject;

/// Beside a rule or a tag: to be charged, and not only asked.
const CHARGE: u64 = 1 << 40;
/// In a judgement: nothing is held there. No answer, which has a reason.
const EXEMPT: u64 = 1;

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
    match subject::weigh(Subject { rule, key: [key0, key1] }, kind, amount, pass, now) {
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
    // SAFETY: both made of references, or null.
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
    // SAFETY: made of a reference to what it is cast to, as many words, or null.
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
            subject::count_refused(id);
        } else if charged != 0 {
            subject::count_allowed(id);
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
