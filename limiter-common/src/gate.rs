//! The gate for one SYN: source and rule in, verdict out. The kernel and the tests run this very function.

use crate::gcra::{Limit, Outcome, State};
use crate::rule::Rule;
use crate::sources::{self, Cell, Cells, Tenant, WAYS};
use crate::verdict::{Reason, Verdict};

/// How often a compare-and-swap is tried. A try fails only because another CPU's succeeded.
pub const TRIES: u32 = 6;

/// The states that sources of a rule share, on a cache line of its own: that of all, that of strangers, when a flood of
/// strangers was refused last, and since when ([`flood`](crate::flood)).
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total(pub [u64; 8]);

const _: () = assert!(size_of::<Total>() == 64);

impl Total {
    /// The word with the state of all sources.
    pub const ALL: usize = 0;
    /// That with the state of strangers.
    pub const STRANGERS: usize = 1;
    /// When the last stranger was refused, in nanoseconds of `CLOCK_MONOTONIC`.
    pub const LAST: usize = 2;
    /// When the first one of this flood was.
    pub const SINCE: usize = 3;
}

/// A verdict, and what it did to the table of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// Pass or refuse.
    pub verdict: Verdict,
    /// Whose cell the source got; `Same` also where none was needed.
    pub tenant: Tenant,
}

/// What sources of a rule share.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a, C> {
    /// The state of all sources together.
    pub total: &'a C,
    /// That of all sources without a handshake, for one of them; `None` for a source that is known, or where the rule
    /// makes no difference.
    pub strangers: Option<&'a C>,
    /// Whether both have been charged with this SYN already.
    pub is_charged: bool,
}

/// A SYN for which [`judge`] is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecided {
    /// Whether the total has been charged with it already.
    pub is_charged: bool,
}

/// Judges a SYN at `now` of the source with `tag` in its `set`.
///
/// The source is looked at first, then what it shares is charged, then the source: so a source that is over its own rate
/// uses up nothing of what all share, a SYN that those refuse costs its source nothing, and a flood of strangers over
/// their budget takes no cell of the table.
#[inline(always)]
pub fn judge<S: Cells + ?Sized>(
    rule: &Rule,
    set: &S,
    shared: &Shared<'_, S::Cell>,
    tag: u16,
    now: u64,
) -> Judgement {
    if rule.rate.is_none() {
        return Judgement { verdict: charge_shared(rule, shared, now), tenant: Tenant::Same };
    }
    let mut within_shared = shared.is_charged || rule.total.is_none() && shared.strangers.is_none();
    for _ in 0..TRIES {
        let found = set.find(tag, now);
        let state = sources::state(found.old, tag, now);
        let decision = rule.rate.admit(state, now);
        if matches!(decision.outcome, Outcome::Admitted) {
            if !within_shared {
                match charge_shared(rule, shared, now) {
                    Verdict::Pass => within_shared = true,
                    refusal @ Verdict::Refuse(_) => {
                        return Judgement { verdict: refusal, tenant: Tenant::Same };
                    }
                }
            }
            if rule.charges_handshakes() {
                return Judgement { verdict: Verdict::Pass, tenant: Tenant::Same };
            }
        }
        if state.bits() == decision.next.bits()
            || set.cells()[found.index & (WAYS - 1)]
                .compare_exchange(found.old, sources::pack(tag, decision.next))
        {
            return Judgement { verdict: verdict(decision.outcome), tenant: found.tenant };
        }
    }
    Judgement { verdict: Verdict::Refuse(Reason::Contention), tenant: Tenant::Same }
}

/// The same in one try, for a source that has its cell already under a [plain](Rule::is_plain) rule: which is what most
/// SYNs are.
///
/// # Errors
///
/// Where it takes more than that.
#[inline(always)]
pub fn judge_at_once<'a, C: Cell + 'a>(
    rule: &Rule,
    cells: &[C; WAYS],
    total: impl FnOnce() -> Option<&'a C>,
    tag: u16,
    now: u64,
) -> Result<Judgement, Undecided> {
    let mut undecided = Undecided { is_charged: false };
    let (cell, old) = sources::find_own(cells, tag).ok_or(undecided)?;
    let state = sources::unpack(old, now);
    let decision = rule.rate.admit(state, now);
    if matches!(decision.outcome, Outcome::Admitted) && !rule.total.is_none() {
        match try_charge(&rule.total, total().ok_or(undecided)?, now).ok_or(undecided)? {
            Outcome::Admitted => undecided.is_charged = true,
            Outcome::Over | Outcome::BackingOff => {
                return Ok(Judgement { verdict: Verdict::Refuse(Reason::Total), tenant: Tenant::Same });
            }
        }
    }
    if state.bits() == decision.next.bits() || cell.compare_exchange(old, sources::pack(tag, decision.next)) {
        Ok(Judgement { verdict: verdict(decision.outcome), tenant: Tenant::Same })
    } else {
        Err(undecided)
    }
}

/// Charges a handshake that was completed at `now` by the source with `tag` in its `set`; says whose cell it got.
///
/// It is too late to refuse it. What passed together with it, as SYNs, may be more than the rate had left.
#[inline(always)]
pub fn charge_handshake<S: Cells + ?Sized>(rule: &Rule, set: &S, tag: u16, now: u64) -> Tenant {
    for _ in 0..TRIES {
        let found = set.find(tag, now);
        let state = sources::state(found.old, tag, now);
        let next = rule.rate.admit(state, now).next;
        if state.bits() == next.bits()
            || set.cells()[found.index & (WAYS - 1)].compare_exchange(found.old, sources::pack(tag, next))
        {
            return found.tenant;
        }
    }
    Tenant::Same
}

/// Charges one SYN to what its source shares with others.
#[inline(always)]
fn charge_shared<C: Cell>(rule: &Rule, shared: &Shared<'_, C>, now: u64) -> Verdict {
    if let Some(strangers) = shared.strangers
        && let refusal @ Verdict::Refuse(_) = charge(&rule.strangers, strangers, now, Reason::Strangers)
    {
        return refusal;
    }
    charge(&rule.total, shared.total, now, Reason::Total)
}

/// Charges one SYN to a state that many share; where it is over, `reason` is why.
///
/// A limit of [`Limit::NONE`] passes everything.
#[inline(always)]
pub fn charge<C: Cell>(limit: &Limit, total: &C, now: u64, reason: Reason) -> Verdict {
    if limit.is_none() {
        return Verdict::Pass;
    }
    for _ in 0..TRIES {
        match try_charge(limit, total, now) {
            Some(Outcome::Admitted) => return Verdict::Pass,
            Some(Outcome::Over | Outcome::BackingOff) => return Verdict::Refuse(reason),
            None => {}
        }
    }
    Verdict::Refuse(Reason::Contention)
}

/// The same in one try; `None` where another CPU was faster.
#[inline(always)]
fn try_charge<C: Cell>(limit: &Limit, total: &C, now: u64) -> Option<Outcome> {
    let old = total.load();
    let decision = limit.admit(State::from_bits(old), now);
    let next = decision.next.bits();
    let is_done = next == old || total.compare_exchange(old, next);
    is_done.then_some(decision.outcome)
}

#[inline(always)]
const fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Admitted => Verdict::Pass,
        Outcome::Over => Verdict::Refuse(Reason::Rate),
        Outcome::BackingOff => Verdict::Refuse(Reason::Backoff),
    }
}
