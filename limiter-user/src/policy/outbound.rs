//! The same for destinations.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use limiter_common::gcra::{Limit, MAX_HORIZON};
use limiter_common::maps::{MAX_HOST_RULES, MAX_NETWORKS, MAX_PATTERNS};
use limiter_common::outbound::{
    DEFAULT_RULE, EXEMPT, FIRST_RULE, HostRule as Entry, Kind, PER_IP_RULE, Settings,
};

use crate::config::errno::RefusalErrno;
use crate::config::host::{HostLimits, HostRule, Share};
use crate::config::hostname::HostPattern;
use crate::config::rate::Rate;
use crate::failure::Failure;
use crate::policy::Numbers;

/// What a socket connects to when it names no address, or this host: never limited, unless a rule lists it.
const LOOPBACK: [&str; 4] = ["127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128"];

/// What is held for destinations.
#[derive(Debug, Clone, Default)]
pub struct OutboundPolicy {
    /// Each name, and each address without a name, that no rule lists.
    pub default: Option<HostLimits>,
    /// Each address, whatever its names.
    pub per_ip: Option<Rate>,
    /// Names and networks.
    pub rules: Vec<HostRule>,
    /// How long a destination is refused that went over a limit, where its rule says nothing else.
    pub backoff: Option<Duration>,
    /// Networks that are never limited, unless a rule lists them.
    pub exempt: Vec<HostPattern>,
    /// Name servers: the same.
    pub servers: Vec<IpAddr>,
    /// What a refused call gets.
    pub errno: RefusalErrno,
    /// Count only.
    pub monitor: bool,
}

/// The same for the kernel, except that names are not hashed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundEntries {
    /// By rule number.
    pub rules: Vec<(u32, Entry)>,
    /// Names and wildcards, with their rule's number.
    pub patterns: Vec<(HostPattern, u32)>,
    /// Networks, with their rule's number or [`EXEMPT`]. Of two that are equal the later one counts.
    pub networks: Vec<(HostPattern, u32)>,
    /// Positive.
    pub errno: u32,
    /// Of [`Settings`].
    pub flags: u32,
}

/// What a rule is called: by its own name, or by what it lists.
pub fn name(rule: &HostRule) -> String {
    if let Some(name) = &rule.name {
        return name.clone();
    }
    let patterns: Vec<_> = rule.patterns.iter().map(ToString::to_string).collect();
    patterns.join(",")
}

impl OutboundPolicy {
    /// The map entries, for rules that have these numbers.
    ///
    /// # Errors
    ///
    /// Nothing to hold, too much of it, a rate that the kernel cannot hold, a name or network that two rules list.
    pub fn entries(&self, numbers: &Numbers) -> Result<OutboundEntries, Failure> {
        if self.default.is_none() && self.per_ip.is_none() && self.rules.is_empty() {
            return Err(Failure::new(
                "a cgroup is given, but no limit on what its processes may connect to",
                "give it --default-rate '10/s burst 10', or --host 'google.com = 20/s', or both",
            ));
        }
        let mut entries = OutboundEntries {
            rules: Vec::new(),
            patterns: Vec::new(),
            networks: Vec::new(),
            errno: self.errno.number() as u32,
            flags: if self.monitor { Settings::MONITOR } else { 0 },
        };
        if let Some(limits) = &self.default {
            entries.rules.push((DEFAULT_RULE, self.entry(limits, Share::Host)?));
        }
        if let Some(rate) = self.per_ip {
            let mut entry = Entry::default();
            entry.limits[Kind::Rate as usize] = rate.limit(0)?;
            entries.rules.push((PER_IP_RULE, entry));
            entries.flags |= Settings::PER_IP;
        }
        for network in LOOPBACK {
            entries.networks.push((network.parse()?, EXEMPT));
        }
        entries.networks.extend(self.servers.iter().map(|&server| (server.into(), EXEMPT)));
        entries.networks.extend(self.exempt.iter().map(|network| (network.clone(), EXEMPT)));
        self.list(numbers, &mut entries)?;
        for (_, rule) in &entries.rules {
            let is_limited = |kind| !rule.limit(kind).is_none();
            if is_limited(Kind::Packets) || is_limited(Kind::Bytes) {
                entries.flags |= Settings::TRAFFIC;
            }
            if is_limited(Kind::Lookups) {
                entries.flags |= Settings::LOOKUPS;
            }
        }
        Ok(entries)
    }

    /// Whether each name and network is listed once, and rules are not too many.
    ///
    /// # Errors
    ///
    /// Where not.
    pub fn check_lists(&self) -> Result<(), Failure> {
        let most = (MAX_HOST_RULES - FIRST_RULE) as usize;
        if self.rules.len() > most {
            return Err(Failure::new(
                format!("{} rules for destinations are too many", self.rules.len()),
                format!("{most} rules are the most; a rule may list many names"),
            ));
        }
        let mut listed = HashSet::new();
        for pattern in self.rules.iter().flat_map(|rule| &rule.patterns) {
            if !listed.insert(pattern) {
                return Err(Failure::new(
                    format!("two rules list '{pattern}'"),
                    "list each name and network in one rule only",
                ));
            }
            if self.exempt.contains(pattern) {
                return Err(Failure::new(
                    format!("'{pattern}' is exempt, and a rule limits it"),
                    "leave out one of the two",
                ));
            }
        }
        Ok(())
    }

    /// The rules, and what they list.
    fn list(&self, numbers: &Numbers, entries: &mut OutboundEntries) -> Result<(), Failure> {
        for rule in &self.rules {
            let number = numbers.get(&name(rule)).unwrap_or(DEFAULT_RULE);
            entries.rules.push((number, self.entry(&rule.limits, rule.share)?));
            for pattern in &rule.patterns {
                match pattern {
                    HostPattern::Network(_) => entries.networks.push((pattern.clone(), number)),
                    HostPattern::Wildcard(_) => {
                        entries.flags |= Settings::WILDCARDS;
                        entries.patterns.push((pattern.clone(), number));
                    }
                    HostPattern::Exact(_) => entries.patterns.push((pattern.clone(), number)),
                }
            }
        }
        for (what, count, most) in [
            ("names", entries.patterns.len(), MAX_PATTERNS),
            ("networks", entries.networks.len(), MAX_NETWORKS),
        ] {
            if count > most as usize {
                return Err(Failure::new(
                    format!("{count} {what} are too many"),
                    format!("all rules together may list {most}"),
                ));
            }
        }
        Ok(())
    }

    fn entry(&self, limits: &HostLimits, share: Share) -> Result<Entry, Failure> {
        let backoff = limits.backoff.or(self.backoff).unwrap_or_default();
        let backoff = u64::try_from(backoff.as_nanos()).unwrap_or(u64::MAX);
        if backoff > MAX_HORIZON {
            return Err(Failure::new("a back-off lasts longer than 24 hours", "24h is the longest back-off"));
        }
        let limit = |rate: Option<Rate>| rate.map_or(Ok(Limit::NONE), |rate| rate.limit(0));
        let mut rate = match limits.rate {
            Some(rate) => rate.limit(backoff)?,
            None => Limit::NONE,
        };
        // Over another limit, it backs off all the same.
        rate.backoff = backoff & !1;
        Ok(Entry {
            limits: [
                rate,
                limit(limits.lookups)?,
                limit(limits.packets)?,
                limits.bytes.map_or(Ok(Limit::NONE), |bytes| bytes.limit())?,
            ],
            shared: (share == Share::Rule).into(),
            reserved: 0,
        })
    }
}
