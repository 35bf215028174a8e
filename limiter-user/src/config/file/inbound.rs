//! `[inbound]`: what it says, found out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use limiter_common::maps::MAX_RULES;
use limiter_common::rule::{Action, Charge};

use super::at::{At, Table, TextOr};
use super::fault::Checked;
use super::shape;
use super::values;
use crate::config::network::Network;
use crate::config::ports::Ports;
use crate::config::prefix::SourcePrefix;
use crate::config::rate::Rate;

/// Names that `attach` and `list` use for something else.
const TAKEN: [&str; 2] = ["command-line", "all"];

/// Where the XDP program is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver where that can be, else in the kernel's stack.
    Auto,
    /// In the driver.
    Native,
    /// In the kernel's stack.
    Generic,
}

/// Limits on who connects to this machine.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Names of interfaces; at least one.
    pub interfaces: Vec<At<String>>,
    /// Where the program is to run.
    pub xdp_mode: XdpMode,
    /// How many sources get a cell of their own.
    pub max_sources: u64,
    /// Prefixes that pass.
    pub allow: Vec<At<Network>>,
    /// Prefixes that are refused.
    pub deny: Vec<At<Network>>,
    /// Resets to one source.
    pub reset_rate: At<Rate>,
    /// Resets to all sources together.
    pub reset_total_rate: At<Rate>,
    /// At least one.
    pub rules: Vec<InboundRule>,
}

/// One `[[inbound.rule]]`. What it holds, a `policy::InboundRule` explains.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the key of the file that has its name; shape.rs says what it means")]
pub struct InboundRule {
    pub name: At<String>,
    pub ports: At<Ports>,
    pub rate: Option<At<Rate>>,
    pub total_rate: Option<At<Rate>>,
    pub strangers_rate: Option<At<Rate>>,
    pub charge: Charge,
    pub max_open: Option<u32>,
    pub backoff: Duration,
    pub action: Action,
    pub source_prefix: SourcePrefix,
    pub monitor: At<bool>,
}

/// Finds out what `[inbound]` says.
pub fn check(inbound: &At<Table<shape::Inbound>>) -> Checked<Inbound> {
    let interfaces = values::places(&inbound.interfaces, "interface", "interfaces = [\"eth0\"]")?;
    values::count(&inbound.rule, MAX_RULES as usize - 1)?;
    if inbound.rule.is_empty() {
        return Err(inbound.wrong(
            "[inbound] has no rule: nothing would be limited",
            "add one: [[inbound.rule]], and below it name = \"web\", ports = [\"80\"] and rate = \"900/min burst 60\"",
        ));
    }
    let mut names = HashSet::new();
    let mut owners = HashMap::new();
    let mut rules = Vec::with_capacity(inbound.rule.len());
    for rule in &inbound.rule {
        values::name(&rule.name, &TAKEN, &mut names)?;
        rules.push(check_rule(rule, ports(rule, &mut owners)?)?);
    }
    let modes = [("auto", XdpMode::Auto), ("native", XdpMode::Native), ("generic", XdpMode::Generic)];
    Ok(Inbound {
        interfaces,
        xdp_mode: *values::word(&inbound.xdp_mode, &modes)?,
        max_sources: values::number(&inbound.max_sources, 8, 1 << 34)?.cast_unsigned(),
        allow: values::networks(&inbound.allow)?,
        deny: values::networks(&inbound.deny)?,
        reset_rate: values::rate(&inbound.reset.rate)?,
        reset_total_rate: values::rate(&inbound.reset.total_rate)?,
        rules,
    })
}

fn check_rule(rule: &At<Table<shape::InboundRule>>, ports: At<Ports>) -> Checked<InboundRule> {
    let rate = |text: &Option<At<String>>| text.as_ref().map(values::rate).transpose();
    let checked = InboundRule {
        name: rule.name.clone(),
        ports,
        rate: rate(&rule.rate)?,
        total_rate: rate(&rule.total_rate)?,
        strangers_rate: rate(&rule.strangers_rate)?,
        charge: *values::word(&rule.charge, &[("syn", Charge::Syn), ("handshake", Charge::Handshake)])?,
        max_open: match &rule.max_open {
            Some(open) => Some(*values::number(open, 1, 65_535)? as u32),
            None => None,
        },
        backoff: match &rule.backoff {
            Some(backoff) => *values::backoff(backoff)?,
            None => Duration::ZERO,
        },
        action: *values::word(&rule.action, &[("reset", Action::Reset), ("drop", Action::Drop)])?,
        source_prefix: source_prefix(&rule.source_prefix)?,
        monitor: rule.monitor.clone(),
    };
    let has_total = checked.total_rate.is_some() || checked.strangers_rate.is_some();
    if checked.rate.is_none() && !has_total && checked.max_open.is_none() {
        return Err(rule.name.wrong(
            format!("rule '{}' limits nothing", *rule.name),
            "give it a limit: rate = \"900/min burst 60\", or total_rate, strangers_rate or max_open",
        ));
    }
    if checked.rate.is_none() && checked.charge == Charge::Handshake {
        let cause =
            format!("rule '{}' charges handshakes, but has no rate that they could use up", *rule.name);
        return Err(rule.charge.wrong(cause, "give the rule a rate, or leave charge out"));
    }
    if let Some(backoff) =
        rule.backoff.as_ref().filter(|_| checked.rate.is_none() && !checked.backoff.is_zero())
    {
        let cause = format!("rule '{}' has a back-off, but no rate that a source could pass", *rule.name);
        return Err(backoff.wrong(cause, "give the rule a rate, or leave backoff out"));
    }
    Ok(checked)
}

/// The ports of a rule, of which no other rule may have one.
fn ports<'a>(
    rule: &'a At<Table<shape::InboundRule>>,
    owners: &mut HashMap<u16, &'a str>,
) -> Checked<At<Ports>> {
    let mut read = Vec::with_capacity(rule.ports.len());
    for part in rule.ports.iter() {
        let ports: At<Ports> = part.read(|part| match part {
            TextOr::Text(text) => text.parse(),
            TextOr::Other(number) => number.to_string().parse(),
        })?;
        for port in ports.iter() {
            let Some(owner) = owners.insert(port, &rule.name) else { continue };
            let cause = if owner == rule.name.as_str() {
                format!("port {port} is named twice in rule '{owner}'")
            } else {
                format!("port {port} is in rule '{owner}' and in rule '{}'", *rule.name)
            };
            return Err(part.wrong(cause, "name each port in one rule only, and once"));
        }
        read.push((*ports).clone());
    }
    if read.is_empty() {
        let cause = format!("rule '{}' names no port", *rule.name);
        return Err(rule
            .ports
            .wrong(cause, "an empty list does not mean all: that would be ports = [\"1-65535\"]"));
    }
    Ok(rule.ports.with(Ports::together(read)))
}

fn source_prefix(prefix: &At<TextOr<shape::Prefix>>) -> Checked<SourcePrefix> {
    Ok(match &**prefix {
        TextOr::Text(text) => *prefix.read(|_| text.parse())?,
        TextOr::Other(bits) => SourcePrefix {
            v4: *values::number(&bits.v4, 1, 32)? as u8,
            v6: *values::number(&bits.v6, 1, 128)? as u8,
        },
    })
}
