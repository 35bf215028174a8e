//! One SYN: find it, find its rule, judge it, count it.

#![expect(unsafe_code, reason = "asks the kernel for the time")]

use aya_ebpf::helpers::bpf_ktime_get_ns;
use limiter_common::flood::{self, Note};
use limiter_common::gate::{self, Judgement, Shared, Total};
use limiter_common::key::{Address, Place};
use limiter_common::lists::Listed;
use limiter_common::open::Pass;
use limiter_common::packet::{self, Packet, Syn};
use limiter_common::rule::{Action, Rule};
use limiter_common::sources::{Cell as _, Overwrite as _, Tenant};
use limiter_common::verdict::{Reason, RuleCounters, Skip, Verdict};

use crate::atomics::Word;
use crate::boundary::{self, Set};
use crate::lists;
use crate::tables::inbound as tables;

/// What is to be done with a SYN.
pub enum Inbound {
    Pass,
    Refuse(Action, Refused),
}

/// A SYN, and the rule that refused it.
pub struct Refused {
    pub syn: Syn,
    pub rule: u32,
}

/// Judges the SYN in `packet`.
///
/// # Errors
///
/// The reason why the packet is not judged; it passes.
#[inline(always)]
pub fn judge<P: Packet>(packet: &P) -> Result<Inbound, Skip> {
    let syn = packet::parse(packet)?;
    let rule = tables::rule_number(syn.destination_port).ok_or(Skip::Internal)?;
    if rule == 0 {
        return Err(Skip::NoRule);
    }
    match judge_syn(&syn, rule) {
        Outcome::Admit | Outcome::Counted => Ok(Inbound::Pass),
        Outcome::Drop => Ok(Inbound::Refuse(Action::Drop, Refused { syn, rule })),
        Outcome::Reset => Ok(Inbound::Refuse(Action::Reset, Refused { syn, rule })),
        Outcome::Missing => Err(Skip::Internal),
    }
}

/// What became of a SYN, and is counted. Only a number: of what a variant holds besides, the compiler leaves half
/// undefined, which the verifier refuses.
#[repr(u64)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Admit = 0,
    /// Refused, in monitor mode.
    Counted = 1,
    Drop = 2,
    Reset = 3,
    /// A map lacks an entry.
    Missing = 4,
}

impl Outcome {
    /// What a rule does to what it refuses.
    #[inline(always)]
    pub const fn refuse(rule: &Rule) -> Self {
        match rule.action() {
            None => Self::Counted,
            Some(Action::Drop) => Self::Drop,
            Some(Action::Reset) => Self::Reset,
        }
    }

    #[inline(always)]
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Admit,
            1 => Self::Counted,
            2 => Self::Drop,
            3 => Self::Reset,
            _ => Self::Missing,
        }
    }
}

/// Who is listed is judged by that alone. A source that holds all the connections that it may uses up nothing of its
/// rate, and what the rate refuses never becomes a pending handshake.
#[inline(always)]
fn judge_syn(syn: &Syn, number: u32) -> Outcome {
    let Some(rule) = tables::rule(number) else { return Outcome::Missing };
    match lists::find(syn, number) {
        None => {}
        Some(Listed::Allowed) => {
            tables::count(number, |counters| counters.allowed += 1);
            return Outcome::Admit;
        }
        Some(Listed::Denied) => {
            tables::count(number, |counters| count_refusal(counters, Reason::Denied));
            return Outcome::refuse(rule);
        }
    }
    let is_held = rule.max_open != 0;
    let is_stranger = !rule.strangers.is_none() && !boundary::known::is_known(syn, number);
    if is_held {
        let outcome = boundary::open::judge(syn, number, Pass::Ask);
        if outcome != Outcome::Admit {
            return outcome;
        }
    }
    let outcome = boundary::judge(syn, number, is_stranger);
    if is_held && outcome == Outcome::Admit {
        return boundary::open::judge(syn, number, Pass::Charge);
    }
    outcome
}

/// Judges and counts a SYN from `source` by the rates of rule `number`.
#[inline(always)]
pub fn judge_source(source: &Address, number: u32, v6: bool, is_stranger: bool) -> Outcome {
    let (Some(rule), Some(shared)) = (tables::rule(number), tables::shared(number)) else {
        return Outcome::Missing;
    };
    let now = now();
    let strangers = is_stranger.then_some(&shared[Total::STRANGERS]);
    let Some(judgement) = judge_by(rule, number, source, v6, strangers, &shared[Total::ALL], now) else {
        return Outcome::Missing;
    };
    count(number, judgement);
    if matches!(judgement.verdict, Verdict::Refuse(Reason::Strangers)) {
        note_flood(&shared[Total::LAST], &shared[Total::SINCE], now);
    }
    match judgement.verdict {
        Verdict::Pass => Outcome::Admit,
        Verdict::Refuse(_) => Outcome::refuse(rule),
    }
}

#[inline(always)]
fn judge_by(
    rule: &Rule,
    number: u32,
    source: &Address,
    v6: bool,
    strangers: Option<&'static Word>,
    total: &'static Word,
    now: u64,
) -> Option<Judgement> {
    let place = Place::of(tables::secret(), number, source, rule.mask(v6));
    let cells = tables::cells(place.set(tables::set_mask()))?;
    Some(gate::judge(rule, &Set(cells), &Shared { total, strangers }, place.tag(), now))
}

#[inline(always)]
fn note_flood(last: &Word, since: &Word, now: u64) {
    match flood::note(last.load(), now) {
        Note::Nothing => return,
        Note::First => since.store(now),
        Note::Last => {}
    }
    last.store(now);
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments, in every kernel that runs XDP.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn count(rule: u32, judgement: Judgement) {
    tables::count(rule, |counters| {
        match judgement.verdict {
            Verdict::Pass => counters.passed += 1,
            Verdict::Refuse(reason) => count_refusal(counters, reason),
        }
        count_tenant(counters, judgement.tenant);
    });
}

/// Counts a source that got a cell.
#[inline(always)]
pub const fn count_tenant(counters: &mut RuleCounters, tenant: Tenant) {
    match tenant {
        Tenant::Same => {}
        Tenant::Idle => counters.sources += 1,
        Tenant::Active => {
            counters.sources += 1;
            counters.evictions += 1;
        }
    }
}

/// Counts a SYN that a rule refused.
#[inline(always)]
pub fn count_refusal(counters: &mut RuleCounters, reason: Reason) {
    // `get_mut`, because an index that the compiler cannot bound brings in a panic, which the kernel refuses.
    if let Some(refused) = counters.refused.get_mut(reason as usize) {
        *refused += 1;
    }
}
