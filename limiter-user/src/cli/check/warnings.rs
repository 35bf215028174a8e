//! What a file says rightly, and may mean otherwise.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cgroup::Cgroup;
use crate::config::file::at::At;
use crate::config::file::{Config, Inbound, Outbound};
use crate::config::network::Network;
use crate::config::rate::Rate;
use crate::failure::Failure;
use crate::interface;

/// The port of SSH.
const SSH: u16 = 22;
/// A network of so many bits or fewer, of those that count in its family, is most of the internet.
const WIDE: u32 = 3;

/// Something to think about, and where it stands.
#[derive(Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Warning {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is odd.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

/// Looks at the file, and at whether what it names is on this machine.
///
/// # Errors
///
/// Where the kernel does not tell its interfaces.
pub async fn of(config: &Config) -> anyhow::Result<Vec<Warning>> {
    let mut warnings = of_text(config);
    if let Some(inbound) = &config.inbound {
        let all = interface::all().await?;
        let here: Vec<_> = all.iter().map(|interface| interface.name.as_str()).collect();
        for name in &inbound.interfaces {
            let (found, _) = interface::wanted(std::slice::from_ref(name), &all);
            if found.is_empty() {
                let message = format!("no interface is called '{}' on this machine", **name);
                let cure = format!("attach would wait for it; here are: {}", here.join(", "));
                warnings.push(at(config, name, message, &cure));
            }
        }
    }
    if let Some(outbound) = &config.outbound {
        for name in &outbound.cgroups {
            if let Err(error) = Cgroup::all(std::slice::from_ref(name)) {
                let cure =
                    error.downcast_ref::<Failure>().map_or("attach would fail", |failure| &failure.cure);
                warnings.push(at(config, name, error.to_string(), cure));
            }
        }
    }
    if let Some(group) = &config.app
        && let Err(Failure { cause, cure }) = group.id()
    {
        warnings.push(at(config, group, cause, &cure));
    }
    warnings.sort_by_key(|warning| (warning.line, warning.column));
    Ok(warnings)
}

/// What can be told from the file alone.
pub fn of_text(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(inbound) = &config.inbound {
        of_inbound(config, inbound, &mut warnings);
    }
    if let Some(outbound) = &config.outbound {
        of_outbound(config, outbound, &mut warnings);
    } else if let Some(group) = &config.app {
        let message = "[app] is asked about destinations, and nothing limits these".into();
        warnings.push(at(config, group, message, "add [outbound], or leave [app] out"));
    }
    warnings
}

fn of_inbound(config: &Config, inbound: &Inbound, warnings: &mut Vec<Warning>) {
    for rule in &inbound.rules {
        for rate in [&rule.rate, &rule.total_rate, &rule.strangers_rate].into_iter().flatten() {
            warnings.extend(small_burst(config, rate));
        }
        if *rule.monitor {
            let message = format!("rule '{}' refuses nothing", *rule.name);
            warnings.push(at(
                config,
                &rule.monitor,
                message,
                "leave monitor out once its counters look right",
            ));
        }
        if rule.ports.iter().any(|port| port == SSH) && inbound.allow.is_empty() {
            let message = format!("rule '{}' holds at port {SSH}, which is that of SSH", *rule.name);
            let cure = "put your own addresses on the list: allow = […], or try it with --for 5m";
            warnings.push(at(config, &rule.ports, message, cure));
        }
    }
    for network in inbound.deny.iter().filter(|network| is_wide(***network)) {
        let message = format!("'{}' refuses most of the internet", **network);
        warnings.push(at(config, network, message, "name the networks that are meant"));
    }
    for network in inbound.allow.iter().filter(|network| is_wide(***network)) {
        let message = format!("'{}' keeps most of the internet out of every limit", **network);
        warnings.push(at(config, network, message, "name the networks that are meant"));
    }
    for network in
        inbound.deny.iter().filter(|network| inbound.allow.iter().any(|other| ***network == **other))
    {
        let message = format!("'{}' is allowed as well, and that wins", **network);
        warnings.push(at(config, network, message, "leave out one of the two"));
    }
}

fn of_outbound(config: &Config, outbound: &Outbound, warnings: &mut Vec<Warning>) {
    if let Some(rate) = &outbound.per_ip {
        warnings.extend(small_burst(config, rate));
    }
    let rules = outbound.rules.iter().map(|rule| rule.with(rule.limits.rate));
    let default = outbound.default.iter().map(|limits| limits.with(limits.rate));
    for rate in rules.chain(default) {
        if let Some(value) = *rate {
            warnings.extend(small_burst(config, &rate.with(value)));
        }
    }
    if *outbound.monitor {
        let cure = "leave monitor out once its counters look right";
        warnings.push(at(config, &outbound.monitor, "[outbound] refuses nothing".into(), cure));
    }
    for network in outbound.exempt.iter().filter(|network| is_wide(***network)) {
        let message = format!("'{}' keeps most of the internet out of every limit", **network);
        warnings.push(at(config, network, message, "name the networks that are meant"));
    }
}

fn small_burst(config: &Config, rate: &At<Rate>) -> Option<Warning> {
    (rate.burst_time() < Duration::from_secs(1)).then(|| {
        let message = format!("the burst of '{}' is less than its rate allows in one second", **rate);
        at(
            config,
            rate,
            message,
            "what comes evenly passes, what comes in one go does not; leave the burst out for a second's",
        )
    })
}

fn is_wide(network: Network) -> bool {
    let (_, length) = network.mapped();
    length <= WIDE || (96..=96 + WIDE).contains(&length)
}

fn at<T>(config: &Config, value: &At<T>, message: String, cure: &str) -> Warning {
    let (line, column) = config.place(value);
    Warning { line, column, message, cure: cure.into() }
}
