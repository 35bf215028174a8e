//! What came of a packet. These enums are the only vocabulary: counters, `status` and tests all speak it.

/// Why a SYN or a connection to some destination was refused.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its source, or its destination, is over the rule's rate.
    Rate = 0,
    /// That went over a limit earlier and its back-off has not ended.
    Backoff = 1,
    /// All sources together are over the rule's total rate.
    Total = 2,
    /// Other CPUs changed the same state in every try. It is judged to be over the limit.
    Contention = 3,
    /// Its source holds as many open connections as the rule allows.
    Open = 4,
    /// Its source is on a list of what is denied.
    Denied = 5,
    /// Its source has not completed a handshake lately, and all such sources together are over what they share.
    Strangers = 6,
    /// The destination's address is over the rate of each address.
    PerIp = 7,
    /// A DNS query: its name is over the rule's lookups.
    Lookups = 8,
    /// A packet: its destination is over the rule's packets.
    Packets = 9,
    /// A packet: its destination is over the rule's bytes.
    Bytes = 10,
}

impl Reason {
    /// All, in the order of their counters.
    pub const ALL: [Self; 11] = [
        Self::Rate,
        Self::Backoff,
        Self::Total,
        Self::Contention,
        Self::Open,
        Self::Denied,
        Self::Strangers,
        Self::PerIp,
        Self::Lookups,
        Self::Packets,
        Self::Bytes,
    ];
    /// Those of SYNs, in the order of their counters.
    pub const INBOUND: [Self; 7] =
        [Self::Rate, Self::Backoff, Self::Total, Self::Contention, Self::Open, Self::Denied, Self::Strangers];
    /// Those of connections, queries and packets to a destination.
    pub const OUTBOUND: [Self; 7] =
        [Self::Rate, Self::Backoff, Self::Contention, Self::PerIp, Self::Lookups, Self::Packets, Self::Bytes];

    /// The word for it in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Backoff => "backoff",
            Self::Total => "total",
            Self::Contention => "contention",
            Self::Open => "open",
            Self::Denied => "denied",
            Self::Strangers => "strangers",
            Self::PerIp => "per_ip",
            Self::Lookups => "lookups",
            Self::Packets => "packets",
            Self::Bytes => "bytes",
        }
    }

    /// The one with this number; see [`Skip::from_number`] for why a match.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Rate,
            1 => Self::Backoff,
            2 => Self::Total,
            3 => Self::Contention,
            4 => Self::Open,
            5 => Self::Denied,
            6 => Self::Strangers,
            7 => Self::PerIp,
            8 => Self::Lookups,
            9 => Self::Packets,
            10 => Self::Bytes,
            _ => return None,
        })
    }
}

/// Why a packet was not judged. All of these pass.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Neither IPv4 nor IPv6. Not counted.
    NotIp = 0,
    /// IP, but not TCP. Not counted.
    NotTcp = 1,
    /// A TCP segment that opens no connection. Not counted.
    NotSyn = 2,
    /// A SYN to a port that no rule names. Not counted.
    NoRule = 3,
    /// A header runs past the end of the frame.
    Truncated = 4,
    /// More VLAN tags than are looked under.
    TooManyTags = 5,
    /// An IP version that contradicts the ethertype, or an IPv4 header shorter than 20 bytes.
    BadIpHeader = 6,
    /// An IP length that the frame does not hold, or that leaves no room for a TCP header.
    BadIpLength = 7,
    /// More IPv6 extension headers than are looked under.
    TooManyExtensions = 8,
    /// An encrypted payload (ESP).
    Encrypted = 9,
    /// A fragment that is not the first: it cannot open a connection by itself.
    LaterFragment = 10,
    /// A fragment within a fragment, which the kernel discards.
    NestedFragment = 11,
    /// The limiter's own maps lack an entry that must be there.
    Internal = 12,
}

impl Skip {
    /// All, in the order of their counters.
    pub const ALL: [Self; 13] = [
        Self::NotIp,
        Self::NotTcp,
        Self::NotSyn,
        Self::NoRule,
        Self::Truncated,
        Self::TooManyTags,
        Self::BadIpHeader,
        Self::BadIpLength,
        Self::TooManyExtensions,
        Self::Encrypted,
        Self::LaterFragment,
        Self::NestedFragment,
        Self::Internal,
    ];

    /// The word for it in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::NotTcp => "not_tcp",
            Self::NotSyn => "not_syn",
            Self::NoRule => "no_rule",
            Self::Truncated => "truncated",
            Self::TooManyTags => "too_many_tags",
            Self::BadIpHeader => "bad_ip_header",
            Self::BadIpLength => "bad_ip_length",
            Self::TooManyExtensions => "too_many_extensions",
            Self::Encrypted => "encrypted",
            Self::LaterFragment => "later_fragment",
            Self::NestedFragment => "nested_fragment",
            Self::Internal => "internal",
        }
    }

    /// The one with this number.
    ///
    /// A match and not [`Self::ALL`]: the verifier is not shown that an index into that is within its bounds.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::NotIp,
            1 => Self::NotTcp,
            2 => Self::NotSyn,
            3 => Self::NoRule,
            4 => Self::Truncated,
            5 => Self::TooManyTags,
            6 => Self::BadIpHeader,
            7 => Self::BadIpLength,
            8 => Self::TooManyExtensions,
            9 => Self::Encrypted,
            10 => Self::LaterFragment,
            11 => Self::NestedFragment,
            12 => Self::Internal,
            _ => return None,
        })
    }

    /// Whether it is counted. What is understood and none of the limiter's business is not: such packets are
    /// nearly all there are, and pay for the parse alone.
    #[inline(always)]
    pub const fn is_counted(self) -> bool {
        !matches!(self, Self::NotIp | Self::NotTcp | Self::NotSyn | Self::NoRule)
    }
}

/// What a rule says of a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within all limits.
    Pass,
    /// Over one of them.
    Refuse(Reason),
}

/// What one CPU saw of one rule.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCounters {
    /// SYNs within all limits.
    pub passed: u64,
    /// SYNs of sources that are allowed whatever the limits say.
    pub allowed: u64,
    /// SYNs over a limit, by [`Reason`]; in monitor mode they went through all the same.
    pub refused: [u64; Reason::INBOUND.len()],
    /// Refused SYNs that were answered with an RST.
    pub resets: u64,
    /// Source prefixes that got a cell of their own; one that was pushed out and came back counts again.
    pub sources: u64,
    /// How many of them pushed out another source that was not idle.
    pub evictions: u64,
}

const _: () = assert!(size_of::<RuleCounters>() == 96);

/// What one CPU let pass without judging it, by [`Skip`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SkipCounters(pub [u64; Skip::ALL.len()]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_counter_of_its_own_number() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
            assert_eq!(Reason::from_number(i as u32), Some(reason));
        }
        for (i, skip) in Skip::ALL.into_iter().enumerate() {
            assert_eq!(skip as usize, i);
            assert_eq!(Skip::from_number(i as u32), Some(skip));
        }
    }
}
