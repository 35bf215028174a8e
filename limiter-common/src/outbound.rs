//! What connections to a destination are held to: the rules, and the decision.
//!
//! A connection has several [`Subject`]s: each listed name of its address, the network that the address lies in, the
//! address itself. All of them must admit it. They are asked one by one, and charged only when none refuses: so what
//! one refuses uses up nothing of the others.

use crate::gate::TRIES;
use crate::gcra::{Limit, Outcome, State};
use crate::key::{Address, Place, Secret};
use crate::name::{NameId, NameSecret};
use crate::sources::{self, Cells, WAYS};
use crate::verdict::Reason;

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
    /// How many sets of states there are, less one.
    pub set_mask: u32,
    /// What a refused call gets.
    pub errno: u32,
    /// [`Settings::MONITOR`] and so on.
    pub flags: u32,
    /// For the alignment.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Settings>() == 96);

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

/// What one CPU saw of one rule.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostCounters {
    /// New connections that were admitted.
    pub allowed: u64,
    /// Connections, queries and packets that were refused, by [`Reason`]; in monitor mode they went through all the same.
    pub refused: [u64; Reason::ALL.len()],
}

const _: () = assert!(size_of::<HostCounters>() == 72);

/// A name that has addresses, in the map by its [`NameId`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostName {
    /// New connections to an address of this name that were admitted.
    pub allowed: u64,
    /// Connections, queries and packets that this name refused.
    pub refused: u64,
    /// When it was last resolved, in nanoseconds of `CLOCK_MONOTONIC`.
    pub resolved: u64,
    /// How long `text` is.
    pub length: u64,
    /// The name in its wire form, in lower case.
    pub text: [u8; 256],
}

/// A name whose answer was not wholly read, on its way to the daemon.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadName {
    /// An [`Unread`](crate::dns::Unread).
    pub reason: u32,
    /// How long `text` is.
    pub length: u32,
    /// The name in its wire form, in lower case.
    pub text: [u8; 256],
}

const _: () = assert!(size_of::<UnreadName>() == 264);

/// A query that waits for its answer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryKey {
    /// Of the socket that sent it.
    pub cookie: u64,
    /// The hash of the name.
    pub name: u64,
    /// Its id.
    pub id: u64,
}

/// Where its answer must come from.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The server that was asked.
    pub server: Address,
    /// Until when an answer teaches, in nanoseconds of `CLOCK_MONOTONIC`.
    pub until: u64,
    /// The name that was asked for, with its rule.
    pub id: u64,
}

/// How long the answer to a query is waited for, in nanoseconds.
pub const QUERY_PATIENCE: u64 = 60_000_000_000;

/// A UDP socket and a destination that it may send to.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Of the socket.
    pub cookie: u64,
    /// The destination.
    pub address: Address,
    /// Its port.
    pub port: u64,
}

/// How long a flow may be silent before the next datagram counts as a new connection, in nanoseconds.
///
/// As long as conntrack remembers one that was answered (`nf_conntrack_udp_timeout_stream`).
pub const FLOW_IDLE: u64 = 120_000_000_000;

/// What the outbound programs count beside the rules.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A connection to an exempt destination.
    Exempt = 0,
    /// A query was noted.
    Query = 1,
    /// An answer to a noted query was read.
    Answer = 2,
    /// A name got into the table of names.
    NameLearned = 3,
    /// An address got into the table of listed names' addresses, or that of others.
    AddressLearned = 4,
    /// An address got one more name.
    Mapped = 5,
    /// A name went to the daemon, because its answer was not wholly read.
    HandedOver = 6,
    /// The daemon was too slow for a name that should have gone to it.
    HandoverLost = 7,
}

impl Event {
    /// All, in the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::Exempt,
        Self::Query,
        Self::Answer,
        Self::NameLearned,
        Self::AddressLearned,
        Self::Mapped,
        Self::HandedOver,
        Self::HandoverLost,
    ];

    /// The word for it in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exempt => "exempt",
            Self::Query => "queries",
            Self::Answer => "answers",
            Self::NameLearned => "names_learned",
            Self::AddressLearned => "addresses_learned",
            Self::Mapped => "mappings_learned",
            Self::HandedOver => "names_handed_over",
            Self::HandoverLost => "names_handover_lost",
        }
    }
}

/// What one CPU counted beside the rules, by [`Event`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCounters(pub [u64; Event::ALL.len()]);

/// What one CPU could not, or not wholly, read or keep, by [`Unread`](crate::dns::Unread).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnreadCounters(pub [u64; crate::dns::Unread::ALL.len()]);
