//! What connections to a destination are held to: the rules, and the decision.
//!
//! A connection has several [`Subject`]s: each listed name of its address, the network that the address lies in, the
//! address itself. All of them must admit it. They are asked one by one, and charged only when none refuses: so what
//! one refuses uses up nothing of the others. Where there is only one, it is charged at once.

pub mod tables;

use crate::gate::TRIES;
use crate::gcra::{Limit, Outcome, State};
use crate::key::{Address, Place, Secret};
use crate::name::{NameId, NameSecret};
use crate::sources::{self, Cells, WAYS};
use crate::verdict::Reason;

/// Number of the rule that refuses everything, by which the programs are tried. Only the trial's destinations have it, and only
/// while it lasts.
pub const PROBE_RULE: u32 = 0;
/// Number of the rule for each name, or address without a name, that no other rule lists.
pub const DEFAULT_RULE: u32 = 1;
/// Number of the rule for each address, whatever its names.
pub const PER_IP_RULE: u32 = 2;
/// Number of the first rule that lists something.
pub const FIRST_RULE: u32 = 3;
/// In place of a rule's number: nothing is held here.
pub const EXEMPT: u32 = u32::MAX;

/// What is counted against a limit.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// New connections.
    Rate = 0,
    /// DNS queries for the name.
    Lookups = 1,
    /// Packets sent.
    Packets = 2,
    /// Bytes sent, in units of [`BYTES_UNIT`].
    Bytes = 3,
}

/// Bytes that use up one emission interval of a limit on bytes.
pub const BYTES_UNIT: u64 = 1024;

impl Kind {
    /// All, in the order of a rule's limits.
    pub const ALL: [Self; 4] = [Self::Rate, Self::Lookups, Self::Packets, Self::Bytes];

    /// What stands before a limit of this kind where a rule is described.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Rate => "",
            Self::Lookups => "lookups ",
            Self::Packets => "packets ",
            Self::Bytes => "bytes ",
        }
    }

    /// The one with this number.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Rate,
            1 => Self::Lookups,
            2 => Self::Packets,
            _ => Self::Bytes,
        }
    }

    /// Why something is refused that is over this limit of a rule.
    #[inline(always)]
    pub const fn reason(self, rule: u32) -> Reason {
        match self {
            Self::Rate if rule == PER_IP_RULE => Reason::PerIp,
            Self::Rate => Reason::Rate,
            Self::Lookups => Reason::Lookups,
            Self::Packets => Reason::Packets,
            Self::Bytes => Reason::Bytes,
        }
    }
}

/// A rule for destinations.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostRule {
    /// By [`Kind`]. Only that for [`Kind::Rate`] has a back-off, which holds for all of them.
    pub limits: [Limit; 4],
    /// 1 where all that the rule lists shares one state, 0 where each name or address has its own.
    pub shared: u32,
    /// For the alignment.
    pub reserved: u32,
}

const _: () = assert!(size_of::<HostRule>() == 104);

impl HostRule {
    /// The limit on something.
    #[inline(always)]
    pub const fn limit(&self, kind: Kind) -> &Limit {
        match kind {
            Kind::Rate => &self.limits[0],
            Kind::Lookups => &self.limits[1],
            Kind::Packets => &self.limits[2],
            Kind::Bytes => &self.limits[3],
        }
    }

    /// Whether nothing of this kind can ever be refused.
    #[inline(always)]
    pub const fn admits_all(&self, kind: Kind) -> bool {
        self.limit(kind).is_none() && self.limits[0].backoff == 0
    }
}

/// What is true for all connections.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What names are hashed with.
    pub names: NameSecret,
    /// What states are placed with.
    pub places: [u64; 6],
    /// What sources are placed with, for who loads the next programs; these have it as read-only data.
    pub sources: Secret,
    /// How many sets of states there are, less one.
    pub set_mask: u32,
    /// What a refused call gets.
    pub errno: u32,
    /// [`Settings::MONITOR`] and so on.
    pub flags: u32,
    /// For the alignment.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Settings>() == 144);

impl Settings {
    /// Refusals are counted and not carried out.
    pub const MONITOR: u32 = 1;
    /// Some rule has a wildcard.
    pub const WILDCARDS: u32 = 2;
    /// Some rule limits packets or bytes.
    pub const TRAFFIC: u32 = 4;
    /// Some rule limits lookups.
    pub const LOOKUPS: u32 = 8;
    /// Each address has a limit of its own.
    pub const PER_IP: u32 = 16;

    /// Whether a flag is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

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
