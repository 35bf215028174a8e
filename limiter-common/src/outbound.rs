//! What connections to a destination are held to: the decision.
//!
//! A connection has several [`Subject`]s: each listed name of its address, the network that the address lies in, the
//! address itself. All of them must admit it. They are asked one by one, and charged only when none refuses: so what
//! one refuses uses up nothing of the others. Where there is only one, it is charged at once.

mod rule;
pub mod tables;

pub use rule::{
    BYTES_UNIT, DEFAULT_RULE, EXEMPT, FIRST_RULE, HostRule, Kind, PER_IP_RULE, PROBE_RULE, Settings,
};

use crate::gate::TRIES;
use crate::gcra::{Limit, Outcome, State};
use crate::key::{Address, Place, Secret};
use crate::name::NameId;
use crate::sources::{self, Cells, WAYS};

/// What a connection to an address is held to: its names, by the rule of each, and a rule for the address itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<N> {
    /// Names of the address; `N` is what holds them.
    pub names: Option<N>,
    /// The rule that the address falls under.
    pub rule: Option<u32>,
}

impl<N> Held<N> {
    /// `None` where nothing holds. `network` is the rule of the longest listed prefix.
    ///
    /// What rules list comes first: names of the address, and the network that it lies in, together. Only where there is
    /// neither, names that no rule lists count, each by itself, and an address without a name counts as one.
    #[inline(always)]
    pub fn new(
        listed: Option<N>,
        network: Option<u32>,
        unlisted: impl FnOnce() -> Option<N>,
    ) -> Option<Self> {
        match (listed, network) {
            (None, Some(EXEMPT)) => None,
            (Some(names), Some(EXEMPT) | None) => Some(Self { names: Some(names), rule: None }),
            (names, Some(rule)) => Some(Self { names, rule: Some(rule) }),
            (None, None) => Some(match unlisted() {
                None => Self { names: None, rule: Some(DEFAULT_RULE) },
                names => Self { names, rule: None },
            }),
        }
    }
}

/// Who is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// By which rule.
    pub rule: u32,
    /// What tells it apart from others under the same rule.
    pub key: [u64; 2],
}

impl Subject {
    /// A name.
    #[inline(always)]
    pub const fn name(id: NameId) -> Self {
        Self { rule: id.rule(), key: [id.bits(), u64::MAX] }
    }

    /// An address.
    #[inline(always)]
    pub const fn address(rule: u32, address: &Address) -> Self {
        Self { rule, key: address.halves() }
    }

    /// Where its state lies, unless its rule shares one state.
    #[inline(always)]
    pub const fn place(&self, places: &[u64; 6], kind: Kind) -> Place {
        Place::of_key(&Secret(*places), self.rule << 2 | kind as u32, self.key)
    }

    /// Which of the rules' own sets holds its state, if its rule shares one state.
    #[inline(always)]
    pub const fn shared_set(&self, kind: Kind) -> u32 {
        self.rule << 2 | kind as u32
    }
}

/// The tag of the only state in a set of a rule's own.
pub const SHARED_TAG: u16 = 1;

/// What a subject says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// Nothing against it.
    Admit,
    /// Over the limit, just now.
    Over,
    /// A back-off has not ended.
    BackingOff,
    /// Other CPUs changed the state in every try.
    Contention,
}

/// Whether a subject is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Only asked. Who is over its limit goes into its back-off all the same.
    Ask,
    /// Asked once more, and charged.
    Charge,
}

/// Asks or charges one state: that with `tag` in `set`. `cost` is in nanoseconds, as [`cost`] tells.
#[inline(always)]
pub fn weigh<S: Cells + ?Sized>(
    limit: &Limit,
    set: &S,
    tag: u16,
    now: u64,
    cost: u64,
    pass: Pass,
) -> Opinion {
    for _ in 0..TRIES {
        if let Some(opinion) = try_to_weigh(limit, set, tag, now, cost, pass) {
            return opinion;
        }
    }
    Opinion::Contention
}

/// One try; `None` where another CPU changed the state meanwhile.
#[inline(always)]
pub fn try_to_weigh<S: Cells + ?Sized>(
    limit: &Limit,
    set: &S,
    tag: u16,
    now: u64,
    cost: u64,
    pass: Pass,
) -> Option<Opinion> {
    let found = set.find(tag, now);
    let state = sources::state(found.old, tag, now);
    let decision = limit.admit_cost(state, now, cost);
    let opinion = match decision.outcome {
        Outcome::Admitted => Opinion::Admit,
        Outcome::Over => Opinion::Over,
        Outcome::BackingOff => Opinion::BackingOff,
    };
    let is_only_asked = matches!((opinion, pass), (Opinion::Admit, Pass::Ask));
    let done = is_only_asked || put(set, found.index, found.old, tag, state, decision.next);
    done.then_some(opinion)
}

/// Whether the back-off of a rule has not ended for the subject whose state for [`Kind::Rate`] has `tag` in `set`.
#[inline(always)]
pub fn is_backing_off<S: Cells + ?Sized>(rate: &Limit, set: &S, tag: u16, now: u64) -> bool {
    rate.is_backing_off(sources::state(set.find(tag, now).old, tag, now), now)
}

/// Lets the back-off begin for a subject that is over another limit than its rate.
#[inline(always)]
pub fn back_off<S: Cells + ?Sized>(rate: &Limit, set: &S, tag: u16, now: u64) {
    for _ in 0..TRIES {
        let found = set.find(tag, now);
        let state = sources::state(found.old, tag, now);
        if rate.is_backing_off(state, now) || put(set, found.index, found.old, tag, state, rate.back_off(now))
        {
            return;
        }
    }
}

/// What `amount` packets, queries, connections or bytes use up of a limit, in nanoseconds.
#[inline(always)]
pub const fn cost(limit: &Limit, kind: Kind, amount: u64) -> u64 {
    match kind {
        Kind::Bytes => limit.emission_interval.wrapping_mul(amount) / BYTES_UNIT,
        _ => limit.emission_interval.wrapping_mul(amount),
    }
}

#[inline(always)]
fn put<S: Cells + ?Sized>(set: &S, index: usize, old: u64, tag: u16, state: State, next: State) -> bool {
    use crate::sources::Cell as _;
    state.bits() == next.bits()
        || set.cells()[index & (WAYS - 1)].compare_exchange(old, sources::pack(tag, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_decides_alone_and_the_rest_by_itself() {
        const NETWORK: u32 = 7;
        let held = |names, rule| Some(Held { names, rule });
        let cases = [
            (None, None, None, held(None, Some(DEFAULT_RULE))),
            (None, None, Some("u"), held(Some("u"), None)),
            (None, Some(EXEMPT), None, None),
            (None, Some(EXEMPT), Some("u"), None),
            (None, Some(NETWORK), Some("u"), held(None, Some(NETWORK))),
            (Some("l"), None, Some("u"), held(Some("l"), None)),
            (Some("l"), Some(EXEMPT), Some("u"), held(Some("l"), None)),
            (Some("l"), Some(NETWORK), Some("u"), held(Some("l"), Some(NETWORK))),
        ];
        for (listed, network, unlisted, expected) in cases {
            assert_eq!(
                Held::new(listed, network, || unlisted),
                expected,
                "{listed:?} {network:?} {unlisted:?}"
            );
        }
    }
}
