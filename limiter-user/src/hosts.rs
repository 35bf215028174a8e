//! The names that the limited processes have resolved, each with its rule, its state and its counts.

use comfy_table::CellAlignment;
use limiter_common::name::NameId;
use limiter_common::outbound::tables::HostName;
use limiter_common::outbound::{Kind, Subject};
use serde::Serialize;

use crate::bpf::outbound::text;
use crate::bpf::{HostTables, Pins};
use crate::clock;
use crate::state::{OutboundState, State};
use crate::table;

/// A name; this is its JSON.
#[derive(Debug, Serialize)]
pub struct Host {
    /// The name.
    pub name: String,
    /// What its rule lists, or `default`.
    pub rule: String,
    /// Whether a connection would be refused now.
    pub refused_now: bool,
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
    let tables = HostTables::pinned(&Pins::locate())?;
    let now = clock::now();
    let mut hosts = Vec::new();
    for (id, host) in tables.hosts() {
        hosts.push(Host::new(id, &host, &tables, &state, now)?);
    }
    hosts.sort_by(|a, b| (b.refused, b.allowed, &a.name).cmp(&(a.refused, a.allowed, &b.name)));
    Ok(Some(hosts))
}

impl Host {
    fn new(
        id: NameId,
        host: &HostName,
        tables: &HostTables,
        state: &OutboundState,
        now: u64,
    ) -> anyhow::Result<Self> {
        let rule = tables.rule(id.rule())?;
        let rate = rule.limit(Kind::Rate);
        let wait = match tables.state(&rule, &Subject::name(id), Kind::Rate, now)? {
            Some(state) if !rule.admits_all(Kind::Rate) => rate.retry_after(state, now),
            _ => 0,
        };
        Ok(Self {
            name: text(host),
            rule: state.rule(id.rule()).map(crate::state::HostRuleState::called).unwrap_or_default(),
            refused_now: wait > 0,
            retry_after_ms: wait.div_ceil(1_000_000),
            allowed: host.allowed,
            refused: host.refused,
            resolved_ms_ago: now.saturating_sub(host.resolved) / 1_000_000,
        })
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
