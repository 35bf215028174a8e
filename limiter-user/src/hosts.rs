//! The names that the limited processes have resolved, each with its rule, its state and its counts.

use std::collections::HashMap;

use comfy_table::CellAlignment;
use limiter_common::maps;
use limiter_common::name::NameId;
use limiter_common::outbound::tables::HostName;
use limiter_common::outbound::{Kind, Subject};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bpf::outbound::text;
use crate::bpf::{HostBuckets, HostTables, Pins, batch};
use crate::clock;
use crate::state::{OutboundState, State};
use crate::table;

/// A name; this is its JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Host {
    /// What the tables know it by.
    #[serde(skip)]
    pub id: NameId,
    /// The name.
    pub name: String,
    /// What its rule lists, or `default`.
    pub rule: String,
    /// Whether a connection would be refused now.
    pub refused_now: bool,
    /// Whether that is because it went over its limit earlier.
    #[serde(skip)]
    pub backs_off: bool,
    /// Milliseconds until a connection is admitted; 0 where one is now.
    pub retry_after_ms: u64,
    /// Connections to an address of this name that were admitted.
    pub allowed: u64,
    /// Connections, queries and packets that this name refused.
    pub refused: u64,
    /// How long ago it was resolved.
    pub resolved_ms_ago: u64,
}

/// All of them, the most refused first; `None` where nothing is attached.
///
/// # Errors
///
/// As the kernel says.
pub fn read() -> anyhow::Result<Option<Vec<Host>>> {
    let Some(state) = State::load()?.and_then(|state| state.outbound) else { return Ok(None) };
    let pins = Pins::locate();
    let tables = HostTables::pinned(&pins)?;
    let buckets = HostBuckets::pinned(&tables, state.rules.iter().map(|rule| rule.number), &pins)?;
    let mut hosts = all(&state, &buckets, clock::now(), &pins)?;
    hosts.sort_by(|a, b| (b.refused, b.allowed, &a.name).cmp(&(a.refused, a.allowed, &b.name)));
    Ok(Some(hosts))
}

/// All of them, in no order, as of `now`, nanoseconds of `CLOCK_MONOTONIC`.
///
/// # Errors
///
/// As the kernel says.
pub fn all(state: &OutboundState, buckets: &HostBuckets, now: u64, pins: &Pins) -> anyhow::Result<Vec<Host>> {
    let called: HashMap<_, _> = state.rules.iter().map(|rule| (rule.number, rule.called())).collect();
    let mut hosts = Vec::new();
    batch::for_each(&pins.map(maps::HOSTS)?, |id: u64, host: &HostName| {
        let Some(id) = NameId::from_bits(id) else { return };
        let rule = called.get(&id.rule()).cloned().unwrap_or_default();
        hosts.push(Host::new(id, host, rule, buckets, now));
    })?;
    Ok(hosts)
}

impl Host {
    fn new(id: NameId, host: &HostName, called: String, buckets: &HostBuckets, now: u64) -> Self {
        let rule = buckets.rule(id.rule()).filter(|rule| !rule.admits_all(Kind::Rate));
        let held = rule.and_then(|rule| {
            Some((rule.limit(Kind::Rate), buckets.held(rule, &Subject::name(id), Kind::Rate, now)?))
        });
        let wait = held.map_or(0, |(limit, state)| limit.retry_after(state, now));
        Self {
            id,
            name: text(host),
            rule: called,
            refused_now: wait > 0,
            backs_off: held.is_some_and(|(limit, state)| limit.is_backing_off(state, now)),
            retry_after_ms: wait.div_ceil(1_000_000),
            allowed: host.allowed,
            refused: host.refused,
            resolved_ms_ago: now.saturating_sub(host.resolved) / 1_000_000,
        }
    }
}

/// For people.
pub fn table(hosts: &[Host]) -> String {
    let mut table = table::new(["host", "rule", "state", "allowed", "refused"]);
    for host in hosts {
        let state = if host.refused_now {
            format!("refused for {}", table::seconds(host.retry_after_ms))
        } else {
            "ok".into()
        };
        table.add_row([
            host.name.clone(),
            host.rule.clone(),
            state,
            host.allowed.to_string(),
            host.refused.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
