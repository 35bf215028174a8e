//! What is attached, in words: for `status`, and for who typed `attach`.

use std::time::Duration;

use limiter_common::outbound::{DEFAULT_RULE, PER_IP_RULE};
use limiter_common::rule::{Action, Charge};

use super::live;
use crate::bpf::lists::List;
use crate::config::glob;
use crate::config::host::{HostLimits, Share};
use crate::config::network::Network;
use crate::events;
use crate::failure::Failure;
use crate::policy::{InboundRule, Numbers, OutboundPolicy, outbound};
use crate::rules::backoff;
use crate::ssh;
use crate::state::{HANDSHAKE, HostRuleState, OutboundState, Proof, RuleState, State, Waiting};

/// Says what is attached where, how, and what it does.
pub fn announce(state: &State) {
    for interface in &state.interfaces {
        println!("limiterctl: attached to {}, {} XDP", interface.name, interface.xdp_mode);
        if let Some(why) = &interface.why_generic {
            println!("  not native: {why}");
        }
    }
    if let Some(outbound) = &state.outbound {
        for cgroup in &outbound.cgroups {
            println!("limiterctl: attached to cgroup {}", cgroup.name);
        }
        for rule in &outbound.rules {
            println!("limiterctl: {}", describe_host_rule(rule, outbound));
        }
    }
    if let Some(time) = &state.detaches_at {
        println!("limiterctl: detaches at {time}, unless you say: limiterctl confirm");
    }
    say_waiting(&[], &state.waiting);
    for rule in &state.rules {
        println!("limiterctl: {}", describe(rule));
    }
}

/// Says so where the person who attaches comes through a port that is limited, or is denied altogether.
pub fn warn_of_own_session(state: &State, lists: &[(List, Vec<Network>)]) {
    let Some(peer) = ssh::peer() else { return };
    let Some(rule) = state.rules.iter().find(|rule| rule.has_port(peer.port)) else { return };
    let is_on = |list| {
        let mut networks = lists.iter().filter(|(l, _)| *l == list).flat_map(|(_, networks)| networks);
        networks.any(|network| network.contains(peer.address))
    };
    if is_on(List::Allow) {
        return;
    }
    let what = if is_on(List::Deny) { "is denied" } else { "falls under it" };
    eprintln!(
        "limiterctl: warning: rule '{}' holds at port {}, by which you are logged in, and your address {what}",
        rule.name, peer.port
    );
    eprintln!("  keep yourself out of it with: limiterctl allow add {}", peer.address);
}

/// Says that a listed name has no address, for this process. It is tried again all the while.
pub fn warn_unresolved(name: &str, why: &str) {
    eprintln!(
        "limiterctl: cannot resolve {name}: {why}\n  its limit holds for the addresses that the limited processes resolve; trying again"
    );
}

/// An interface, or those of a pattern, that are not there.
pub fn waiting_for_interface(name: &str) -> Waiting {
    let why = if glob::is_pattern(name) { "none is there" } else { "it is not there" };
    Waiting { kind: "interface".into(), name: name.to_owned(), why: why.into() }
}

/// A cgroup that is not there, or not attached.
pub fn waiting_for_cgroup(name: &str, why: String) -> Waiting {
    Waiting { kind: "cgroup".into(), name: name.to_owned(), why }
}

/// Says what is waited for now and was not before.
pub fn say_waiting(before: &[Waiting], now: &[Waiting]) {
    for waiting in now.iter().filter(|waiting| !before.contains(waiting)) {
        eprintln!("limiterctl: {waiting}");
        events::state("waiting", waiting.to_string());
    }
}

/// Says that limits do not hold any more, or do again.
pub fn proved_again(before: Option<&Proof>, now: &Proof) {
    match (before.and_then(|before| before.failure.as_ref()), &now.failure) {
        (before, Some(failure)) if before != Some(failure) => {
            eprintln!("limiterctl: {failure}");
            events::state("not_proved", failure.as_str());
        }
        (Some(_), None) => {
            live::say("the limits hold again");
            events::state("proved", "the limits hold again");
        }
        _ => {}
    }
}

/// Where limits hold, as the end of a sentence: ` on eth0, shop.service`.
pub fn places(state: &State) -> String {
    let interfaces = state.interfaces.iter().map(|interface| interface.name.as_str());
    let cgroups = state.outbound.iter().flat_map(|outbound| &outbound.cgroups);
    let places: Vec<_> = interfaces.chain(cgroups.map(|cgroup| cgroup.name.as_str())).collect();
    if places.is_empty() { String::new() } else { format!(" on {}", places.join(", ")) }
}

/// Says what a reload has changed.
pub fn reloaded(changes: &[String]) {
    events::state("reloaded", format!("reloaded: {}", changes.join("; ")));
    println!("limiterctl: reloaded");
    for change in changes {
        println!("  {change}");
    }
}

/// Says why what is written now was not put in force.
pub fn not_reloaded(error: &anyhow::Error) {
    events::state("not_reloaded", format!("not reloaded, everything is as it was: {error:#}"));
    eprintln!("limiterctl: not reloaded, everything is as it was: {error:#}");
    if let Some(failure) = error.downcast_ref::<Failure>() {
        eprintln!("  {}", failure.cure);
    }
}

/// A rule for destinations in a sentence.
fn describe_host_rule(rule: &HostRuleState, outbound: &OutboundState) -> String {
    let limits = rule.limits();
    let limits = if limits.is_empty() { "no limit".into() } else { limits.join(", ") };
    let each = match rule.number {
        DEFAULT_RULE => " for each name",
        PER_IP_RULE => " for each address",
        _ if rule.shared => "",
        _ => " for each",
    };
    let then = if outbound.monitor { "counted and let through" } else { &outbound.errno };
    format!("{}: {limits}{each}{}; over it: {then}", rule.hosts.join(", "), pause(rule.backoff_ms))
}

/// A rule in a sentence.
fn describe(rule: &RuleState) -> String {
    let then = if rule.monitor { "counted and let through" } else { &rule.action };
    let (ports, limits, backoff) = (rule.ports.join(","), rule.limits().join(", "), pause(rule.backoff_ms));
    format!("port {ports}: {limits}{backoff}; over it: {then}")
}

/// A back-off as the end of a list of limits.
fn pause(backoff_ms: u64) -> String {
    backoff(backoff_ms).map(|backoff| format!(", {backoff}")).unwrap_or_default()
}

/// The rules for destinations in words.
pub fn host_rules(policy: &OutboundPolicy, numbers: &Numbers) -> Vec<HostRuleState> {
    let state = |number, name, hosts, limits: &HostLimits, backoff: Option<Duration>, share| HostRuleState {
        number,
        name,
        hosts,
        rate: limits.rate.map(|rate| rate.to_string()),
        lookups: limits.lookups.map(|rate| rate.to_string()),
        packets: limits.packets.map(|rate| rate.to_string()),
        bytes: limits.bytes.map(|rate| rate.to_string()),
        backoff_ms: u64::try_from(backoff.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
        shared: share == Share::Rule,
    };
    let backoff = |limits: &HostLimits| limits.backoff.or(policy.backoff);
    let mut rules = Vec::new();
    // Without a default rule there is nothing to hold, but what is counted needs a name.
    let default = policy.default.clone().unwrap_or_default();
    rules.push(state(DEFAULT_RULE, None, vec!["default".into()], &default, backoff(&default), Share::Host));
    if let Some(rate) = policy.per_ip {
        let limits = HostLimits { rate: Some(rate), ..HostLimits::default() };
        rules.push(state(PER_IP_RULE, None, vec!["per-ip".into()], &limits, None, Share::Host));
    }
    rules.extend(policy.rules.iter().map(|rule| {
        let number = numbers.get(&outbound::name(rule)).unwrap_or(DEFAULT_RULE);
        let hosts = rule.patterns.iter().map(ToString::to_string).collect();
        state(number, rule.name.clone(), hosts, &rule.limits, backoff(&rule.limits), rule.share)
    }));
    rules
}

impl RuleState {
    /// The same rule in words; `number` is its number.
    pub fn new(rule: &InboundRule, number: u32) -> Self {
        Self {
            name: rule.name.clone(),
            number,
            ports: rule.ports.ranges(),
            rate: rule.rate.map(|rate| rate.to_string()),
            total_rate: rule.total_rate.map(|rate| rate.to_string()),
            strangers_rate: rule.strangers_rate.map(|rate| rate.to_string()),
            charge: match rule.charge {
                Charge::Syn => "syn".into(),
                Charge::Handshake => HANDSHAKE.into(),
            },
            max_open: rule.max_open,
            backoff_ms: u64::try_from(rule.backoff.as_millis()).unwrap_or(u64::MAX),
            source_prefix: rule.source_prefix,
            action: match rule.action {
                Action::Reset => "reset".into(),
                Action::Drop => "drop".into(),
            },
            monitor: rule.monitor,
        }
    }
}
