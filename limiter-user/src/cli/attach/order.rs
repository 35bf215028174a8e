//! What a file says, as an order to the daemon.

use limiter_common::maps::DEFAULT_SOURCES;

use crate::bpf::Mode;
use crate::bpf::lists::List;
use crate::config::file::at::At;
use crate::config::file::{self, Config, Inbound, Outbound, XdpMode};
use crate::config::host::HostRule;
use crate::config::hostname::HostPattern;
use crate::config::network::Network;
use crate::daemon::{Order, Waits};
use crate::dns;
use crate::failure::Failure;
use crate::metrics::Endpoint;
use crate::policy::{InboundRule, OutboundPolicy, Policy, ResetBudget};

/// An order for nothing yet, with what holds unless something else is said.
pub fn nothing() -> Result<Order, Failure> {
    let resets = ResetBudget { rate: file::RESET_RATE.parse()?, total_rate: file::RESET_TOTAL_RATE.parse()? };
    Ok(Order {
        interfaces: Vec::new(),
        cgroups: Vec::new(),
        waits: Waits::default(),
        policy: Policy { resets: Some(resets), ..Policy::default() },
        lists: [(List::Allow, Vec::new()), (List::Deny, Vec::new())],
        trial: None,
        keep: false,
        fresh: false,
        metrics: Endpoint::default(),
        app: None,
        max_sources: DEFAULT_SOURCES,
        mode: Mode::default(),
    })
}

/// What a file says.
pub fn of(config: &Config) -> Result<Order, Failure> {
    let mut order = nothing()?;
    if let Some(inbound) = &config.inbound {
        add_inbound(&mut order, inbound);
    }
    if let Some(outbound) = &config.outbound {
        order.cgroups = texts(&outbound.cgroups);
        order.policy.outbound = Some(destinations(outbound));
    }
    order.app = config.app.as_deref().cloned();
    Ok(order)
}

fn add_inbound(order: &mut Order, inbound: &Inbound) {
    order.interfaces = texts(&inbound.interfaces);
    order.lists = [(List::Allow, networks(&inbound.allow)), (List::Deny, networks(&inbound.deny))];
    order.max_sources = inbound.max_sources;
    order.mode = match inbound.xdp_mode {
        XdpMode::Auto => Mode::Auto,
        XdpMode::Native => Mode::Native,
        XdpMode::Generic => Mode::Generic,
    };
    order.policy.resets =
        Some(ResetBudget { rate: *inbound.reset_rate, total_rate: *inbound.reset_total_rate });
    order.policy.rules = inbound.rules.iter().map(rule).collect();
}

fn rule(rule: &file::InboundRule) -> InboundRule {
    InboundRule {
        name: (*rule.name).clone(),
        ports: (*rule.ports).clone(),
        rate: rule.rate.as_deref().copied(),
        total_rate: rule.total_rate.as_deref().copied(),
        strangers_rate: rule.strangers_rate.as_deref().copied(),
        charge: rule.charge,
        max_open: rule.max_open,
        backoff: rule.backoff,
        source_prefix: rule.source_prefix,
        action: rule.action,
        monitor: *rule.monitor,
    }
}

fn destinations(outbound: &Outbound) -> OutboundPolicy {
    OutboundPolicy {
        default: outbound.default.as_deref().cloned(),
        per_ip: outbound.per_ip.as_deref().copied(),
        rules: outbound.rules.iter().map(|rule| HostRule::clone(rule)).collect(),
        backoff: outbound.backoff,
        exempt: networks(&outbound.exempt).into_iter().map(HostPattern::Network).collect(),
        servers: dns::servers(),
        errno: outbound.errno,
        monitor: *outbound.monitor,
    }
}

fn texts(texts: &[At<String>]) -> Vec<String> {
    texts.iter().map(|text| String::clone(text)).collect()
}

fn networks(networks: &[At<Network>]) -> Vec<Network> {
    networks.iter().map(|network| **network).collect()
}
