//! One SYN: find it, find its rule, judge it, count it.

pub mod outcome;

use limiter_common::flood::{self, Note};
use limiter_common::gate::{self, Judgement, Shared, Total, Undecided};
use limiter_common::key::Place;
use limiter_common::lists::Listed;
use limiter_common::open::Pass;
use limiter_common::packet::{self, Headers, Packet};
use limiter_common::rule::{Action, Rule};
use limiter_common::sources::{Cell as _, Overwrite as _, Tenant};
use limiter_common::verdict::{Reason, RuleCounters, Skip, Verdict};

use self::outcome::{Done, Outcome};
use crate::atomics::Word;
use crate::boundary::{self, Set, Source};
use crate::clock::now;
use crate::lists;
use crate::tables::inbound as tables;

/// What is to be done with a SYN.
pub enum Inbound {
    Pass,
    /// `None` in monitor mode.
    Refuse(Option<Action>, Refused),
}

/// A SYN, the rule that refused it, and what came of it there.
pub struct Refused {
    pub headers: Headers,
    pub rule: u32,
    pub outcome: Outcome,
}

/// Judges the SYN in `packet`.
///
/// # Errors
///
/// The reason why the packet is not judged; it passes.
#[inline(always)]
pub fn judge<P: Packet>(packet: &P) -> Result<Inbound, Skip> {
    let opening = packet::find(packet)?;
    let rule = tables::rule_number(opening.destination_port).ok_or(Skip::Internal)?;
    if rule == 0 {
        return Err(Skip::NoRule);
    }
    let headers = opening.headers;
    let outcome = boundary::judge(&Source { address: opening.source, rule, v6: headers.v6 });
    match outcome.done() {
        Done::Admit => Ok(Inbound::Pass),
        Done::Refuse(action) => Ok(Inbound::Refuse(action, Refused { headers, rule, outcome })),
        Done::Nothing => Err(Skip::Internal),
    }
}

/// What is left to do for a SYN that was not judged at once.
#[derive(Clone, Copy)]
pub enum Left {
    /// [`judge_rates`], where the total may have been charged already.
    Rates { is_charged: bool },
    /// [`judge_unlisted`].
    All,
}

/// Judges and counts a SYN at once, where that is possible. Who is listed is judged by that alone.
///
/// # Errors
///
/// What is left to do otherwise.
#[inline(always)]
pub fn judge_at_once(source: &Source) -> Result<Outcome, Left> {
    let Some(rule) = tables::rule(source.rule) else { return Ok(Outcome::MISSING) };
    match lists::find(source) {
        None => {}
        Some(Listed::Allowed) => {
            tables::count(source.rule, |counters| counters.allowed += 1);
            return Ok(Outcome::ADMIT);
        }
        Some(Listed::Denied) => {
            tables::count(source.rule, |counters| count_refusal(counters, Reason::Denied));
            return Ok(Outcome::refuse(rule, Reason::Denied));
        }
    }
    if rule.is_plain() { judge_plain(rule, source) } else { Err(Left::All) }
}

#[inline(always)]
fn judge_plain(rule: &Rule, source: &Source) -> Result<Outcome, Left> {
    let place = place(rule, source);
    let Some(cells) = tables::cells(place.set(tables::set_mask())) else { return Ok(Outcome::MISSING) };
    let total = || tables::shared(source.rule).map(|shared| &shared[Total::ALL]);
    match gate::judge_at_once(rule, cells, total, place.tag(), now_for(rule)) {
        Ok(judgement) => {
            count(source.rule, judgement);
            Ok(outcome(rule, judgement.verdict))
        }
        Err(Undecided { is_charged }) => Err(Left::Rates { is_charged }),
    }
}

/// Judges and counts a SYN that is to be answered, by the budget for resets, at once where that is possible.
///
/// # Errors
///
/// Otherwise: whether the total has been charged already. The rest is for [`judge_rates`].
#[inline(always)]
pub fn judge_budget(source: &Source) -> Result<Outcome, bool> {
    let Some(rule) = tables::rule(source.rule) else { return Ok(Outcome::MISSING) };
    if !rule.is_plain() {
        return Err(false);
    }
    judge_plain(rule, source).map_err(|left| matches!(left, Left::Rates { is_charged: true }))
}

/// The same without a look at the lists. A source that holds all the connections that it may uses up nothing of its rate,
/// and what the rate refuses never becomes a pending handshake.
#[inline(always)]
pub fn judge_unlisted(source: &Source) -> Outcome {
    let Some(rule) = tables::rule(source.rule) else { return Outcome::MISSING };
    let is_held = rule.max_open != 0;
    let is_stranger = !rule.strangers.is_none() && !boundary::known::is_known(source);
    if is_held {
        let outcome = boundary::open::judge(source, Pass::Ask);
        if outcome != Outcome::ADMIT {
            return outcome;
        }
    }
    let outcome = boundary::judge_rates(source, Rates { is_stranger, ..Rates::default() });
    if is_held && outcome == Outcome::ADMIT {
        return boundary::open::judge(source, Pass::Charge);
    }
    outcome
}

/// What is known of a SYN that is judged by the rates of its rule.
#[derive(Clone, Copy, Default)]
pub struct Rates {
    /// Its source shares the budget of those without a handshake.
    pub is_stranger: bool,
    /// What sources share has been charged with it.
    pub is_charged: bool,
}

/// Judges and counts a SYN by the rates of its rule.
#[inline(always)]
pub fn judge_rates(source: &Source, rates: Rates) -> Outcome {
    let Some(rule) = tables::rule(source.rule) else { return Outcome::MISSING };
    let Some(shared) = tables::shared(source.rule) else { return Outcome::MISSING };
    let now = now_for(rule);
    let strangers = rates.is_stranger.then_some(&shared[Total::STRANGERS]);
    let place = place(rule, source);
    let Some(cells) = tables::cells(place.set(tables::set_mask())) else { return Outcome::MISSING };
    let budgets = Shared { total: &shared[Total::ALL], strangers, is_charged: rates.is_charged };
    let judgement = gate::judge(rule, &Set(cells), &budgets, place.tag(), now);
    count(source.rule, judgement);
    if matches!(judgement.verdict, Verdict::Refuse(Reason::Strangers)) {
        note_flood(&shared[Total::LAST], &shared[Total::SINCE], now);
    }
    outcome(rule, judgement.verdict)
}

#[inline(always)]
fn place(rule: &Rule, source: &Source) -> Place {
    Place::of(tables::secret(), source.rule, &source.address, rule.mask(source.v6))
}

#[inline(always)]
fn outcome(rule: &Rule, verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Pass => Outcome::ADMIT,
        Verdict::Refuse(reason) => Outcome::refuse(rule, reason),
    }
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

/// The time that is exact enough for a rule.
#[inline(always)]
fn now_for(rule: &Rule) -> u64 {
    if rule.is_coarse() { tables::coarse_time() } else { now() }
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
