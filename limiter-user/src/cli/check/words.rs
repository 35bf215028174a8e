//! What a file would do, in words.

use std::time::Duration;

use limiter_common::rule::{Action, Charge};

use crate::config::file::at::At;
use crate::config::file::{Config, Inbound, InboundRule, Outbound, XdpMode};
use crate::config::host::{HostLimits, HostRule, Share};
use crate::config::network::Network;
use crate::config::rate::ByteRate;

/// How many networks are told one by one.
const FEW: usize = 8;

/// A line for each rule, and for what holds for all of them.
pub fn of(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(inbound) = &config.inbound {
        let places = list(inbound.interfaces.iter().map(|name| String::clone(name)));
        lines.extend(inbound.rules.iter().map(|rule| inbound_rule(rule, &places)));
        lines.push(inbound_rest(inbound, &places));
    }
    if let Some(outbound) = &config.outbound {
        lines.extend(destinations(outbound));
    }
    if let Some(group) = &config.app {
        lines.push(format!(
            "Group {} may ask why a destination is refused, on /run/limiterctl/app.sock.",
            **group
        ));
    }
    lines
}

fn inbound_rule(rule: &InboundRule, places: &str) -> String {
    let prefix = rule.source_prefix;
    let mut each = Vec::new();
    if let Some(rate) = &rule.rate {
        each.push(match rule.charge {
            Charge::Syn => format!("open {}", rate.in_words("connections")),
            Charge::Handshake => format!("complete {}", rate.in_words("handshakes")),
        });
    }
    if let Some(open) = rule.max_open {
        each.push(format!("hold {open} {} open", if open == 1 { "connection" } else { "connections" }));
    }
    let mut limits = Vec::new();
    if !each.is_empty() {
        limits.push(format!(
            "Each source (IPv4 /{}, IPv6 /{}) may {}",
            prefix.v4,
            prefix.v6,
            each.join(", and ")
        ));
    }
    if let Some(rate) = &rule.total_rate {
        limits.push(format!("All sources together may open {}", rate.in_words("connections")));
    }
    if let Some(rate) = &rule.strangers_rate {
        limits.push(format!(
            "All that have not completed a handshake within the last hour may together open {}",
            rate.in_words("connections")
        ));
    }
    let refused = match rule.action {
        Action::Reset => "gets a TCP reset",
        Action::Drop => "meets silence",
    };
    let then = if *rule.monitor { "is counted, and let through" } else { refused };
    let more = if rule.backoff.is_zero() {
        String::new()
    } else {
        format!(", and so does all of a source for {} once it is over its rate", time(rule.backoff))
    };
    let ports = rule.ports.ranges();
    let noun = if ports.len() == 1 && !ports[0].contains('-') { "port" } else { "ports" };
    format!(
        "{}: {noun} {} on {places}. {}; what is beyond that {then}{more}.",
        *rule.name,
        list(ports),
        limits.join(". ")
    )
}

/// What all rules share.
fn inbound_rest(inbound: &Inbound, places: &str) -> String {
    let mode = match inbound.xdp_mode {
        XdpMode::Auto => "in the driver where it can run there, else in the kernel's stack",
        XdpMode::Native => "in the driver only",
        XdpMode::Generic => "in the kernel's stack",
    };
    let mut said = vec![format!(
        "On {places} it runs {mode}, and tells {} sources apart. Resets: {} to one source, {} to all together; beyond \
         that a refused connection meets silence.",
        inbound.max_sources,
        inbound.reset_rate.in_words("resets"),
        inbound.reset_total_rate.in_words("resets"),
    )];
    if !inbound.allow.is_empty() {
        said.push(format!("Never limited: {}.", networks(&inbound.allow)));
    }
    if !inbound.deny.is_empty() {
        said.push(format!("Always refused: {}.", networks(&inbound.deny)));
    }
    said.join(" ")
}

fn destinations(outbound: &Outbound) -> Vec<String> {
    let places = list(outbound.cgroups.iter().map(|name| String::clone(name)));
    let mut lines = Vec::new();
    let then = |limits: &HostLimits| match limits.backoff.or(outbound.backoff).filter(|time| !time.is_zero())
    {
        Some(backoff) => format!("once over that, it is refused for {}", time(backoff)),
        None => "what is beyond that is refused".into(),
    };
    for rule in &outbound.rules {
        lines.push(format!("{}; {}.", host_rule(rule), then(&rule.limits)));
    }
    match outbound.default.as_deref() {
        Some(limits) => lines.push(format!(
            "default: each name that no rule lists, and each address without a name, may get {}; {}.",
            amounts(limits),
            then(limits)
        )),
        None => lines.push("default: what no rule lists is not limited by its name.".into()),
    }
    if let Some(rate) = &outbound.per_ip {
        lines.push(format!(
            "per-ip: each address besides, whatever its names, may get {}; what is beyond that is refused.",
            rate.in_words("connections")
        ));
    }
    let holds = if *outbound.monitor {
        format!("This counts for the processes of {places}; what would be refused is let through.")
    } else {
        format!("This holds for the processes of {places}; a refused connect() gets {}.", outbound.errno)
    };
    let exempt = if outbound.exempt.is_empty() { String::new() } else { networks(&outbound.exempt) + ", " };
    lines.push(format!(
        "{holds} Never limited, unless a rule lists it: {exempt}loopback and the name servers."
    ));
    lines
}

fn host_rule(rule: &HostRule) -> String {
    let name = rule.name.as_deref().unwrap_or("command-line");
    let hosts = list(rule.patterns.iter().map(ToString::to_string));
    let who = match (rule.share, rule.patterns.len()) {
        (Share::Host, _) => ", each name and address by itself,",
        (Share::Rule, 1) => "",
        (Share::Rule, _) => ", together,",
    };
    format!("{name}: {hosts}{who} may get {}", amounts(&rule.limits))
}

fn amounts(limits: &HostLimits) -> String {
    let HostLimits { rate, lookups, packets, bytes, backoff: _ } = limits;
    let counted = [(rate, "connections"), (lookups, "DNS queries"), (packets, "packets")];
    let counted = counted.into_iter().filter_map(|(rate, what)| rate.map(|rate| rate.in_words(what)));
    counted.chain(bytes.iter().map(ByteRate::in_words)).collect::<Vec<_>>().join("; ")
}

fn networks(networks: &[At<Network>]) -> String {
    if networks.len() > FEW {
        return format!("{} networks and addresses", networks.len());
    }
    list(networks.iter().map(|network| network.to_string()))
}

fn list(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
