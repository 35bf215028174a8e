//! One rule of a firewall, as far as iptables and nft have the same.

use std::fmt;

use crate::config::network::Network;
use crate::failure::Failure;

use super::pace::Pace;

/// What a rule says, and what of it has no equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands: "rule 2", "line 17".
    pub place: String,
    /// The chain that it belongs to, with its family and table.
    pub chain: Chain,
    /// In which place of its chain it goes, counted from 0; at the end where nothing is said.
    pub position: Option<usize>,
    /// What it matches.
    pub matches: Matches,
    /// Whether it says a limit of any kind, understood or not.
    pub limits: bool,
    /// The limit.
    pub limiter: Option<Limiter>,
    /// What happens to what it matches.
    pub verdict: Verdict,
    /// What is to be known about parts that the command does without.
    pub notes: Vec<String>,
    /// The first thing in it that has no equal. What is said above is then true, but not all.
    pub refusal: Option<Failure>,
}

/// A chain, by its family, table and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// All of it, in one word.
    pub name: String,
    /// Which packets go through it.
    pub hook: Hook,
}

/// Which packets go through a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hook {
    /// Those for this machine.
    #[default]
    Input,
    /// All that arrive.
    Prerouting,
    /// Those for others.
    Forward,
    /// Those that leave.
    Output,
    /// Whatever another chain sends there.
    Unknown,
}

/// What a rule looks at. Two rules with the same look at the same packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matches {
    /// Whether it may match IPv4.
    pub v4: bool,
    /// Whether it may match IPv6.
    pub v6: bool,
    /// Whether it is for TCP; nothing where it is for every protocol.
    pub tcp: Option<bool>,
    /// How it finds the first packet of a connection.
    pub syn: Option<Syn>,
    /// Conntrack's states, lower case and sorted.
    pub states: Option<Vec<String>>,
    /// Destination ports; nothing where it is for all.
    pub ports: Option<PortRanges>,
    /// Where a packet comes in; nothing where that does not matter, or only has to be no loopback.
    pub interfaces: Option<Vec<String>>,
    /// Whose packets.
    pub sources: Sources,
}

/// How a rule looks at TCP's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syn {
    /// SYN, and none of ACK, RST and FIN.
    Plain,
    /// SYN and no other flag at all.
    Alone,
    /// Everything else.
    Never,
}

/// Whose packets a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sources {
    /// Everybody's.
    #[default]
    All,
    /// Only theirs.
    Only(Vec<Network>),
    /// Everybody's but theirs.
    Except(Vec<Network>),
}

/// What counts in a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limiter {
    /// Open connections of a source, which is so many bits of an address.
    Open {
        /// How many there may be.
        count: u64,
        /// Bits of an address.
        prefix: u8,
        /// Whether the rule matches what is above it, or what is within.
        above: bool,
    },
    /// New connections in a time.
    Rate {
        /// How many in what time.
        pace: Pace,
        /// Bits of an address that make one source; nothing where it is for all together.
        prefix: Option<u8>,
        /// Whether each port counts by itself.
        per_port: bool,
        /// Whether the rule matches what is above it, or what is within.
        above: bool,
    },
    /// One half of iptables' recent.
    Recent(Recent),
}

/// A rule with iptables' recent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// The list.
    pub name: String,
    /// Bits of an address that make one source.
    pub prefix: u8,
    /// What it does with the list.
    pub act: Act,
}

/// What a rule does with a list of iptables' recent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Notes a packet.
    Set,
    /// Matches the source that has so many packets noted in so many seconds.
    Check {
        /// Seconds that it looks back.
        seconds: u64,
        /// Packets in that time.
        hits: u64,
        /// Whether it notes what it matches.
        update: bool,
    },
}

/// What happens to what a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// The next rule is asked.
    #[default]
    Next,
    /// It passes.
    Accept,
    /// It gets a TCP reset.
    Reset,
    /// It gets nothing.
    Drop,
    /// Something that ends in no acceptance here.
    Other,
    /// Whatever another chain says.
    Jump,
}

impl Verdict {
    /// Whether a packet may leave the chain as accepted.
    pub const fn may_accept(self) -> bool {
        matches!(self, Self::Accept | Self::Jump)
    }
}

impl Matches {
    /// Whether a new TCP connection that `other` is for may be one that this is for.
    pub fn may_take_from(&self, other: &Self) -> bool {
        let apart = |a: &Option<Vec<String>>, b: &Option<Vec<String>>| match (a, b) {
            (Some(a), Some(b)) => !a.iter().any(|name| b.contains(name)),
            (Some(a), None) => a.iter().all(|name| name == "lo"),
            _ => false,
        };
        let other_ports = match (&self.ports, &other.ports) {
            (Some(a), Some(b)) => !a.meets(b),
            _ => false,
        };
        let no_beginning =
            self.syn == Some(Syn::Never) || self.states.as_ref().is_some_and(|s| !s.contains(&"new".into()));
        self.tcp != Some(false)
            && !no_beginning
            && !other_ports
            && !apart(&self.interfaces, &other.interfaces)
            && (self.v4 && other.v4 || self.v6 && other.v6)
    }

    /// Whether every new TCP connection that `other` is for is one that this is for, whoever it comes from.
    pub fn takes_all_from(&self, other: &Self) -> bool {
        let ports = match (&self.ports, &other.ports) {
            (Some(a), Some(b)) => a.covers(b),
            (ports, _) => ports.is_none(),
        };
        self.tcp != Some(false)
            && self.syn != Some(Syn::Alone)
            && self.may_take_from(other)
            && ports
            && (self.interfaces.is_none() || self.interfaces == other.interfaces)
    }
}

/// Ports, in ascending order and each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRanges(Vec<(u16, u16)>);

impl PortRanges {
    /// Every port there is.
    pub fn all() -> Self {
        Self(vec![(1, u16::MAX)])
    }

    /// From ranges in any order. Port 0, which nobody listens on, is left out.
    pub fn new(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            let first = first.max(1);
            match merged.last_mut() {
                Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
                _ if first <= last => merged.push((first, last)),
                _ => {}
            }
        }
        Self(merged)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one and no more.
    pub fn is_one(&self) -> bool {
        matches!(self.0[..], [(first, last)] if first == last)
    }

    /// Each port or range, as `attach` reads it.
    pub fn each(&self) -> Vec<String> {
        let range = |&(first, last): &(u16, u16)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        self.0.iter().map(range).collect()
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.0 <= b.1 && b.0 <= a.1))
    }

    fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|b| self.0.iter().any(|a| a.0 <= b.0 && b.1 <= a.1))
    }
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.each().join(","))
    }
}
