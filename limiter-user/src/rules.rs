//! What each rule says, in full: what `list rules` tells. What came of them is in [`status`](crate::status).

use std::time::Duration;

use limiter_common::outbound::Kind;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bpf::Pins;
use crate::state::{HANDSHAKE, HostRuleState, Lock, RuleState, State};
use crate::status::Status;
use crate::table;

/// All rules; this is their JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Rules {
    /// Those for ports, in the order in which they were given.
    pub inbound: Vec<RuleState>,
    /// Those for destinations; first the rule for what is not listed.
    pub outbound: Vec<HostRuleState>,
    /// What a refused call gets: `EDQUOT`; nothing where there are no rules for destinations.
    pub errno: Option<String>,
    /// Whether refusals to destinations are only counted.
    pub outbound_monitor: bool,
}

/// What is attached, with a daemon or without; `None` where nothing is.
///
/// # Errors
///
/// As the file system says; where something is attached and the words for it are lost.
pub fn read() -> anyhow::Result<Option<Rules>> {
    let daemon_pid = Lock::holder()?.map(|holder| holder.pid);
    let state = Status::state(&Pins::locate(), daemon_pid)?;
    let Some(State { rules: inbound, outbound, .. }) = state else { return Ok(None) };
    Ok(Some(Rules {
        inbound,
        errno: outbound.as_ref().map(|outbound| outbound.errno.clone()),
        outbound_monitor: outbound.as_ref().is_some_and(|outbound| outbound.monitor),
        outbound: outbound.map(|outbound| outbound.rules).unwrap_or_default(),
    }))
}

/// For people.
pub fn table(rules: &Rules) -> String {
    let mut tables = Vec::new();
    if !rules.inbound.is_empty() {
        let mut table = table::new(["rule", "ports", "limits", "over it"]);
        for rule in &rules.inbound {
            let over = if rule.monitor { "counted" } else { &rule.action };
            let limits = lines(rule.limits(), rule.backoff_ms);
            table.add_row([&rule.name, &rule.ports.join(","), &limits, over]);
        }
        tables.push(table.to_string());
    }
    if !rules.outbound.is_empty() {
        let mut table = table::new(["destinations", "limits", "over it"]);
        let errno = rules.errno.as_deref().unwrap_or_default();
        let over = if rules.outbound_monitor { "counted" } else { errno };
        for rule in &rules.outbound {
            let limits = lines(rule.limits(), rule.backoff_ms);
            table.add_row([rule.hosts.join(", "), limits, over.to_owned()]);
        }
        tables.push(table.to_string());
    }
    tables.join("\n")
}

/// Limits below each other, and the back-off last.
fn lines(mut limits: Vec<String>, backoff_ms: u64) -> String {
    limits.extend(backoff(backoff_ms));
    if limits.is_empty() { "none".into() } else { limits.join("\n") }
}

/// `back-off 15s`, where there is one.
pub fn backoff(milliseconds: u64) -> Option<String> {
    let time = Duration::from_millis(milliseconds);
    (milliseconds != 0).then(|| format!("back-off {}", humantime::format_duration(time)))
}

impl RuleState {
    /// Each limit in words: `900/minute burst 60 for each /32 and /64`.
    pub fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if let Some(rate) = &self.rate {
            let what = if self.charge == HANDSHAKE { " handshakes" } else { "" };
            limits.push(format!("{rate}{what} for each {}", self.source_prefix));
        }
        if let Some(total) = &self.total_rate {
            limits.push(format!("{total} for all together"));
        }
        if let Some(strangers) = &self.strangers_rate {
            limits.push(format!("{strangers} for all strangers together"));
        }
        if let Some(open) = self.max_open {
            limits.push(format!("{open} open for each {}", self.source_prefix));
        }
        limits
    }
}

impl HostRuleState {
    /// Each limit in words: `20/second burst 20`, `lookups 50/second burst 500`.
    pub fn limits(&self) -> Vec<String> {
        let limit = |kind: Kind| self.limit(kind).map(|limit| format!("{}{limit}", kind.prefix()));
        Kind::ALL.into_iter().filter_map(limit).collect()
    }
}
