//! `[outbound]`: what it says, found out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use limiter_common::maps::{MAX_HOST_RULES, MAX_NETWORKS, MAX_PATTERNS};
use limiter_common::outbound::FIRST_RULE;

use super::at::{At, Table, TextOr};
use super::fault::Checked;
use super::shape;
use super::values;
use crate::config::errno::RefusalErrno;
use crate::config::host::{HostLimits, HostRule, Share};
use crate::config::hostname::HostPattern;
use crate::config::network::Network;
use crate::config::rate::Rate;
use crate::failure::Failure;

/// Names of what is no rule of the file.
const TAKEN: [&str; 3] = ["default", "per-ip", "command-line"];
/// Room for networks that no file lists: loopback, and the name servers.
const OWN_NETWORKS: usize = 16;

/// Limits on what the processes of a cgroup connect to.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// Units, or paths in cgroup v2; at least one.
    pub cgroups: Vec<At<String>>,
    /// What each name is held to that no rule lists.
    pub default: Option<At<HostLimits>>,
    /// What each address is held to besides.
    pub per_ip: Option<At<Rate>>,
    /// Of rules that say nothing else.
    pub backoff: Option<Duration>,
    /// What a refused call gets.
    pub errno: RefusalErrno,
    /// Networks that are never limited.
    pub exempt: Vec<At<Network>>,
    /// Count only.
    pub monitor: At<bool>,
    /// The rules; all have names.
    pub rules: Vec<At<HostRule>>,
}

/// Finds out what `[outbound]` says.
pub fn check(outbound: &At<Table<shape::Outbound>>) -> Checked<Outbound> {
    let cgroups = values::places(&outbound.cgroups, "cgroup", "cgroups = [\"shop.service\"]")?;
    values::count(&outbound.rule, (MAX_HOST_RULES - FIRST_RULE) as usize)?;
    if outbound.default.is_none() && outbound.per_ip.is_none() && outbound.rule.is_empty() {
        return Err(outbound.wrong(
            "[outbound] has no limit: nothing would be limited",
            "add default = \"10/s burst 10\", or an [[outbound.rule]] with name, hosts and rate",
        ));
    }
    let exempt = values::networks(&outbound.exempt)?;
    Ok(Outbound {
        cgroups,
        default: outbound.default.as_ref().map(default).transpose()?,
        per_ip: outbound.per_ip.as_ref().map(values::rate).transpose()?,
        backoff: outbound.backoff.as_ref().map(values::backoff).transpose()?.map(|time| *time),
        errno: *values::parsed(&outbound.errno)?,
        rules: check_rules(&outbound.rule, &exempt)?,
        exempt,
        monitor: outbound.monitor.clone(),
    })
}

fn default(default: &At<TextOr<shape::Limits>>) -> Checked<At<HostLimits>> {
    let limits = match &**default {
        TextOr::Text(text) => {
            return default.read(|_| text.parse().and_then(|limits| holdable(text, limits)));
        }
        TextOr::Other(limits) => limits,
    };
    let read = check_limits(limits)?;
    if limits_nothing(&read) {
        return Err(
            default.wrong("the default limits nothing", "give it rate = \"10/s burst 10\", or leave it out")
        );
    }
    Ok(default.with(read))
}

/// Limits in one text, if the kernel can hold them.
fn holdable(text: &str, limits: HostLimits) -> Result<HostLimits, Failure> {
    for rate in [limits.rate, limits.lookups, limits.packets].into_iter().flatten() {
        rate.limit(0)?;
    }
    if let Some(bytes) = limits.bytes {
        bytes.limit()?;
    }
    if let Some(backoff) = limits.backoff {
        values::held(text, backoff)?;
    }
    Ok(limits)
}

fn check_limits(limits: &shape::Limits) -> Checked<HostLimits> {
    let rate = |text: &Option<At<String>>| Ok(text.as_ref().map(values::rate).transpose()?.map(|rate| *rate));
    Ok(HostLimits {
        rate: rate(&limits.rate)?,
        lookups: rate(&limits.lookups)?,
        packets: rate(&limits.packets)?,
        bytes: limits.bytes.as_ref().map(values::bytes).transpose()?.map(|rate| *rate),
        backoff: limits.backoff.as_ref().map(values::backoff).transpose()?.map(|time| *time),
    })
}

fn check_rules(rules: &[At<Table<shape::HostRule>>], exempt: &[At<Network>]) -> Checked<Vec<At<HostRule>>> {
    let mut names = HashSet::new();
    let mut listed = Listed::new(exempt)?;
    let mut checked = Vec::with_capacity(rules.len());
    for rule in rules {
        values::name(&rule.name, &TAKEN, &mut names)?;
        let patterns = listed.hosts(rule)?;
        let limits = check_limits(&rule.limits())?;
        if limits_nothing(&limits) {
            let cause = format!("rule '{}' limits nothing", *rule.name);
            return Err(rule
                .name
                .wrong(cause, "give it rate = \"20/s burst 20\", or lookups, packets or bytes"));
        }
        let share = *values::word(&rule.share, &[("rule", Share::Rule), ("host", Share::Host)])?;
        checked.push(rule.with(HostRule { name: Some(rule.name.to_string()), patterns, limits, share }));
    }
    Ok(checked)
}

fn limits_nothing(limits: &HostLimits) -> bool {
    limits.rate.is_none() && limits.lookups.is_none() && limits.packets.is_none() && limits.bytes.is_none()
}

/// What is listed so far: each name and network may be so once.
struct Listed<'a> {
    exempt: HashSet<HostPattern>,
    owners: HashMap<HostPattern, &'a str>,
    names: usize,
    networks: usize,
}

impl<'a> Listed<'a> {
    fn new(exempt: &[At<Network>]) -> Checked<Self> {
        values::count(exempt, MAX_NETWORKS as usize - OWN_NETWORKS)?;
        let networks = OWN_NETWORKS + exempt.len();
        let exempt = exempt.iter().map(|network| HostPattern::Network(**network)).collect();
        Ok(Self { exempt, owners: HashMap::new(), names: 0, networks })
    }

    /// The hosts of one more rule.
    fn hosts(&mut self, rule: &'a At<Table<shape::HostRule>>) -> Checked<Vec<HostPattern>> {
        if rule.hosts.is_empty() {
            let cure =
                "an empty list does not mean all: what no rule lists is limited by default, in [outbound]";
            return Err(rule.hosts.wrong(format!("rule '{}' lists no host", *rule.name), cure));
        }
        rule.hosts.iter().map(|host| self.host(rule, host)).collect()
    }

    fn host(&mut self, rule: &'a At<Table<shape::HostRule>>, host: &At<String>) -> Checked<HostPattern> {
        let pattern = values::parsed::<HostPattern>(host)?;
        if self.exempt.contains(&pattern) {
            return Err(host.wrong(
                format!("'{}' is exempt, and a rule limits it", *pattern),
                "leave out one of the two",
            ));
        }
        if let Some(owner) = self.owners.insert((*pattern).clone(), &rule.name) {
            let cause = if owner == rule.name.as_str() {
                format!("'{}' is listed twice in rule '{owner}'", *pattern)
            } else {
                format!("'{}' is in rule '{owner}' and in rule '{}'", *pattern, *rule.name)
            };
            return Err(host.wrong(cause, "list each name and network in one rule only, and once"));
        }
        let (count, most, what) = match *pattern {
            HostPattern::Network(_) => (&mut self.networks, MAX_NETWORKS, "networks"),
            HostPattern::Exact(_) | HostPattern::Wildcard(_) => (&mut self.names, MAX_PATTERNS, "names"),
        };
        *count += 1;
        if *count > most as usize {
            return Err(host
                .wrong(format!("more {what} than {most} are too many"), "that is all that rules can list"));
        }
        Ok((*pattern).clone())
    }
}
