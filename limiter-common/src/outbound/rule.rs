//! Rules for destinations, and what holds beside them.

use crate::gcra::Limit;
use crate::key::Secret;
use crate::name::NameSecret;
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
