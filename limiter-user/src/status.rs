//! What is attached and what it did: read from pins and `/run`, with or without a daemon.

mod outbound;

use std::collections::BTreeMap;

use aya::maps::MapData;
use comfy_table::{CellAlignment, Table};
use limiter_common::maps;
use limiter_common::verdict::{Reason, Skip};
use serde::Serialize;

use crate::bpf::{Pins, RuleTotals, SourceTable, Tables, interface_link};
use crate::clock;
use crate::failure::Failure;
use crate::flood::Floods;
use crate::open::OpenStatus;
use crate::state::{Again, AttachedInterface, Lock, RuleState, State, Waiting};
use crate::table;
pub use outbound::{CgroupStatus, HostRuleStatus, OutboundStatus};

/// Everything `limiterctl status` knows; this is its JSON.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whether refusals are carried out.
    pub mode: Mode,
    /// The process that `attach` runs in; `None` where it is gone and left its limits behind.
    pub daemon_pid: Option<i32>,
    /// Where the program is.
    pub interfaces: Vec<InterfaceStatus>,
    /// Interfaces and cgroups that will be limited once they are there, as they are written in the configuration.
    pub waiting: Vec<String>,
    /// The same with their reasons.
    #[serde(skip)]
    pub waits: Vec<Waiting>,
    /// In the order in which they were given.
    pub rules: Vec<RuleStatus>,
    /// What holds for destinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound: Option<OutboundStatus>,
    /// Open connections, where handshakes matter to a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<OpenStatus>,
    /// When all of it is taken off, unless somebody confirms it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detaches_at: Option<String>,
    /// Packets that passed unjudged because they were not understood, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// What became of the resets that refused SYNs should get; those over their budget are refused in silence.
    pub resets: ResetStatus,
    /// How full the table of sources is.
    pub source_table: Option<SourceTableStatus>,
}

/// Whether refusals are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is attached.
    Off,
    /// Every rule only counts.
    Monitor,
    /// At least one rule refuses.
    Enforce,
}

/// An interface.
#[derive(Debug, Serialize)]
pub struct InterfaceStatus {
    /// What `attach` noted.
    #[serde(flatten)]
    pub attached: AttachedInterface,
    /// Whether the program is on it now.
    pub active: bool,
}

/// A rule and what came of it.
#[derive(Debug, Serialize)]
pub struct RuleStatus {
    /// The rule in words.
    #[serde(flatten)]
    pub rule: RuleState,
    /// SYNs within all limits.
    pub passed: u64,
    /// SYNs of sources that are on the allow list.
    pub allowed: u64,
    /// SYNs over a limit, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Connections that its sources hold open, where it limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<u64>,
    /// Whether anything listens on one of its ports in this network namespace, where it limits open connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listening: Option<bool>,
    /// Since when strangers are over the budget that they share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flood_since: Option<String>,
    /// Refused SYNs that were answered with an RST.
    pub resets: u64,
    /// Source prefixes that got a cell in the table since attach.
    pub sources: u64,
    /// How many of those pushed out another that was not idle.
    pub evictions: u64,
}

/// Resets, over all rules.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ResetStatus {
    /// Sent.
    pub sent: u64,
    /// Not sent, because their source had got enough.
    pub silent_source: u64,
    /// Not sent, because all sources together had.
    pub silent_total: u64,
}

/// Cells of the table of sources.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SourceTableStatus {
    /// In all.
    pub cells: usize,
    /// Holding a source.
    pub used: usize,
}

impl Status {
    /// Reads it all.
    ///
    /// # Errors
    ///
    /// As the kernel and the file system say.
    pub fn read() -> anyhow::Result<Self> {
        let pins = Pins::locate();
        let daemon_pid = Lock::holder()?.map(|holder| holder.pid);
        match State::load()? {
            Some(state) if !pins.links()?.is_empty() || daemon_pid.is_some() && !state.waiting.is_empty() => {
                Self::attached(state, &pins, daemon_pid)
            }
            None if !pins.links()?.is_empty() => Err(Failure::new(
                "limits are attached, but what they are called is lost: /run/limiterctl/state.json is missing",
                "remove them with: limiterctl detach; then attach anew",
            )
            .into()),
            _ => Ok(Self::off(daemon_pid)),
        }
    }

    /// Where nothing is attached.
    pub fn off(daemon_pid: Option<i32>) -> Self {
        Self {
            mode: Mode::Off,
            daemon_pid,
            interfaces: Vec::new(),
            waiting: Vec::new(),
            waits: Vec::new(),
            rules: Vec::new(),
            outbound: None,
            connections: None,
            detaches_at: None,
            skipped: BTreeMap::new(),
            resets: ResetStatus::default(),
            source_table: None,
        }
    }

    fn attached(state: State, pins: &Pins, daemon_pid: Option<i32>) -> anyhow::Result<Self> {
        let (cells, used) = SourceTable::map(&pins.map(maps::SOURCES)?)?.fill();
        let connections = OpenStatus::read(&state.rules, pins)?;
        let mut status = Self::counters(state, pins, daemon_pid)?;
        for (place, rule) in status.rules.iter_mut().enumerate() {
            let open = connections.as_ref().and_then(|open| open.rules.get(place)).copied();
            let open = open.filter(|_| rule.rule.max_open.is_some());
            rule.open = open.map(|(open, _)| open);
            rule.listening = open.map(|(_, listening)| listening);
        }
        Ok(Self { connections, source_table: Some(SourceTableStatus { cells, used }), ..status })
    }

    /// What can be read without walking through a table: no connections, and nothing of the table of sources.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn counters(state: State, pins: &Pins, daemon_pid: Option<i32>) -> anyhow::Result<Self> {
        let tables = Tables::<MapData>::pinned(pins)?;
        let floods = Floods::pinned(pins)?;
        let now = clock::now();
        let mut rules = Vec::with_capacity(state.rules.len());
        for rule in state.rules {
            let since = floods.since(rule.number, now);
            let totals = tables.rule(rule.number)?;
            rules.push(RuleStatus {
                flood_since: since.map(|since| table::time(since as i64 - now as i64)),
                ..RuleStatus::new(rule, totals)
            });
        }
        let resets = ResetStatus::from(tables.rule(maps::RESETS_RULE)?);
        let skipped = tables.skipped()?;
        let outbound = state.outbound.map(|outbound| OutboundStatus::read(outbound, pins)).transpose()?;
        let is_active =
            |attached: &AttachedInterface| pins.is_on(&interface_link(attached.index), attached.index.into());
        Ok(Self {
            mode: if rules.iter().all(|rule| rule.rule.monitor)
                && outbound.as_ref().is_none_or(|outbound| outbound.monitor)
            {
                Mode::Monitor
            } else {
                Mode::Enforce
            },
            daemon_pid,
            interfaces: state
                .interfaces
                .into_iter()
                .map(|attached| InterfaceStatus { active: is_active(&attached), attached })
                .collect(),
            waiting: state.waiting.iter().map(|waiting| waiting.name.clone()).collect(),
            waits: state.waiting,
            rules,
            outbound,
            connections: None,
            detaches_at: state.detaches_at,
            skipped: Skip::ALL
                .into_iter()
                .filter(|skip| skip.is_counted())
                .map(|skip| (skip.as_str(), skipped.0[skip as usize]))
                .collect(),
            resets,
            source_table: None,
        })
    }

    /// For people: interfaces, rules, and what is worth a word.
    pub fn table(&self) -> String {
        let mut lines = Vec::new();
        for InterfaceStatus { attached, active } in &self.interfaces {
            let gone = if *active { "" } else { "; NOT ATTACHED ANY MORE" };
            lines.push(format!("{}: {} XDP{gone}", attached.name, attached.xdp_mode));
            if let Some(why) = &attached.why_generic {
                lines.push(format!("  not native: {why}"));
            }
            lines.extend(attached.again.as_ref().map(Again::line));
        }
        if let Some(time) = &self.detaches_at {
            lines.push(format!("detaches at {time}, unless you say: limiterctl confirm"));
        }
        if self.daemon_pid.is_none() {
            lines.push("the daemon is gone; its limits still hold (limiterctl detach removes them)".into());
        }
        if let Some(outbound) = &self.outbound {
            lines.extend(outbound.cgroup_lines(self.daemon_pid.is_some()));
        }
        lines.extend(self.waits.iter().map(ToString::to_string));
        lines.push(String::new());
        if !self.rules.is_empty() {
            lines.push(self.rules_table().to_string());
        }
        if let Some(outbound) = &self.outbound {
            lines.push(outbound.rules_table().to_string());
            lines.extend(outbound.remarks());
        }
        if let Some(connections) = &self.connections {
            lines.extend(connections.remarks(self.rules.iter().map(|rule| &rule.rule)));
        }
        for rule in self.rules.iter().filter(|rule| rule.rule.monitor) {
            lines.push(format!("{}: monitor mode, what is refused here went through", rule.rule.name));
        }
        for rule in &self.rules {
            let refused = rule.refused[Reason::Strangers.as_str()];
            if let Some(since) = &rule.flood_since {
                let since = table::whole_seconds(since);
                lines.push(format!("{}: FLOOD of strangers since {since}", rule.rule.name));
            }
            if refused > 0 {
                lines.push(format!(
                    "{}: {refused} of sources without a handshake were refused",
                    rule.rule.name
                ));
            }
        }
        let silent = self.resets.silent_source + self.resets.silent_total;
        if silent > 0 {
            lines.push(format!("{silent} refused in silence, because the budget for resets was used up"));
        }
        for rule in &self.rules {
            let denied = rule.refused[Reason::Denied.as_str()];
            if rule.allowed + denied > 0 {
                lines.push(format!(
                    "{}: by the lists, {} passed and {denied} were refused",
                    rule.rule.name, rule.allowed
                ));
            }
        }
        for rule in self.rules.iter().filter(|rule| rule.evictions > 0) {
            lines.push(format!(
                "{}: {} sources pushed out others that were not idle",
                rule.rule.name, rule.evictions
            ));
        }
        for rule in &self.rules {
            let contention = rule.refused[Reason::Contention.as_str()];
            if contention > 0 {
                lines
                    .push(format!("{}: {contention} refused because other CPUs were faster", rule.rule.name));
            }
        }
        for (skip, count) in self.skipped.iter().filter(|(_, count)| **count > 0) {
            lines.push(format!("not judged, {skip}: {count}"));
        }
        lines.join("\n")
    }

    fn rules_table(&self) -> Table {
        let limits_open = self.rules.iter().any(|rule| rule.rule.max_open.is_some());
        let mut reasons = vec![Reason::Rate, Reason::Backoff, Reason::Total];
        reasons.extend(limits_open.then_some(Reason::Open));
        let mut header = vec!["rule", "ports", "passed"];
        header.extend(reasons.iter().map(|reason| reason.as_str()));
        header.push("sources");
        header.extend(limits_open.then_some("held"));
        let mut table = table::new(header);
        for rule in &self.rules {
            let mut row = vec![rule.rule.name.clone(), rule.rule.ports.join(","), rule.passed.to_string()];
            row.extend(reasons.iter().map(|reason| rule.refused[reason.as_str()].to_string()));
            row.push(rule.sources.to_string());
            row.extend(limits_open.then(|| rule.open.map(|open| open.to_string()).unwrap_or_default()));
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl From<RuleTotals> for ResetStatus {
    fn from(totals: RuleTotals) -> Self {
        let refused = |reason: Reason| totals.refused[reason as usize];
        Self {
            sent: totals.passed,
            silent_source: refused(Reason::Rate) + refused(Reason::Contention),
            silent_total: refused(Reason::Total),
        }
    }
}

impl RuleStatus {
    fn new(rule: RuleState, totals: RuleTotals) -> Self {
        Self {
            rule,
            open: None,
            listening: None,
            passed: totals.passed,
            allowed: totals.allowed,
            refused: Reason::INBOUND.into_iter().map(|r| (r.as_str(), totals.refused[r as usize])).collect(),
            flood_since: None,
            resets: totals.resets,
            sources: totals.sources,
            evictions: totals.evictions,
        }
    }
}
