//! The gate for one SYN: source and rule in, verdict out. The kernel and the tests run this very function.

use crate::gcra::{Limit, Outcome, State};
use crate::rule::Rule;
use crate::sources::{self, Cell, Cells, Tenant, WAYS};
use crate::verdict::{Reason, Verdict};

/// How often a compare-and-swap is tried. A try fails only because another CPU's succeeded.
pub const TRIES: u32 = 8;

/// The state of a rule's `total`, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total(pub [u64; 8]);

const _: () = assert!(size_of::<Total>() == 64);

/// A verdict, and what it did to the table of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// Pass or refuse.
    pub verdict: Verdict,
    /// Whose cell the source got; `Same` also where none was needed.
    pub tenant: Tenant,
}

/// Judges a SYN at `now` of the source with `tag` in its `set`.
///
/// The source is looked at first, then `total` is charged, then the source: so a source that is over its own rate
/// uses up nothing of what all share, and a SYN that the total refuses costs its source nothing.
#[inline(always)]
pub fn judge<S: Cells + ?Sized>(rule: &Rule, set: &S, total: &S::Cell, tag: u16, now: u64) -> Judgement {
    if rule.rate.is_none() {
        return Judgement { verdict: charge(&rule.total, total, now), tenant: Tenant::Same };
    }
    let mut within_total = rule.total.is_none();
    for _ in 0..TRIES {
        let found = set.find(tag, now);
        let state = sources::state(found.old, tag, now);
        let decision = rule.rate.admit(state, now);
        if matches!(decision.outcome, Outcome::Admitted) && !within_total {
            match charge(&rule.total, total, now) {
                Verdict::Pass => within_total = true,
                refusal @ Verdict::Refuse(_) => {
                    return Judgement { verdict: refusal, tenant: Tenant::Same };
                }
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

/// Charges one SYN to what all sources of a rule share.
///
/// A limit of [`Limit::NONE`] passes everything.
#[inline(always)]
pub fn charge<C: Cell>(limit: &Limit, total: &C, now: u64) -> Verdict {
    if limit.is_none() {
        return Verdict::Pass;
    }
    for _ in 0..TRIES {
        let old = total.load();
        let decision = limit.admit(State::from_bits(old), now);
        if !matches!(decision.outcome, Outcome::Admitted) {
            return Verdict::Refuse(Reason::Total);
        }
        if total.compare_exchange(old, decision.next.bits()) {
            return Verdict::Pass;
        }
    }
    Verdict::Refuse(Reason::Contention)
}

#[inline(always)]
const fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Admitted => Verdict::Pass,
        Outcome::Over => Verdict::Refuse(Reason::Rate),
        Outcome::BackingOff => Verdict::Refuse(Reason::Backoff),
    }
}
