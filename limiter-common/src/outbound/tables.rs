//! What lies in the maps of the outbound programs beside the rules and the states.

use crate::key::Address;
use crate::verdict::Reason;

/// What one CPU saw of one rule.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostCounters {
    /// New connections that were admitted.
    pub allowed: u64,
    /// Connections, queries and packets that were refused, by [`Reason`]; in monitor mode they went through all the same.
    pub refused: [u64; Reason::ALL.len()],
}

const _: () = assert!(size_of::<HostCounters>() == 96);

/// A name that has addresses, in the map by its [`NameId`](crate::name::NameId).
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
    /// Its id, and the type that it asks for: as [`QueryKey::message`] tells.
    pub message: u64,
}

impl QueryKey {
    /// What tells the queries of a socket for one name apart. Some resolvers ask for A and AAAA by one id.
    #[inline(always)]
    pub const fn message(id: u16, kind: u16) -> u64 {
        id as u64 | (kind as u64) << 16
    }
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
