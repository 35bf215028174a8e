//! What is attached and what it did: read from pins and `/run`, with or without a daemon.

mod outbound;
mod people;

use std::collections::BTreeMap;

use aya::maps::MapData;
use limiter_common::maps;
use limiter_common::verdict::{Reason, Skip};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bpf::open::COUNT_OPEN;
use crate::bpf::{Pins, RuleTotals, SourceTable, Tables, interface_link};
use crate::clock;
use crate::failure::Failure;
use crate::flood::Floods;
use crate::open::OpenStatus;
use crate::state::{AttachedInterface, Lock, Proof, RuleState, State, Waiting};
use crate::table;
pub use outbound::{CgroupStatus, HostRuleStatus, OutboundStatus};

/// Everything `limiterctl status` knows; this is its JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Status {
    /// Whether refusals are carried out.
    pub mode: Mode,
    /// Whether all that was asked for is attached, held when it was tried, and refuses.
    pub enforcing: bool,
    /// When it was tried whether the limits hold, and what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
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
#[derive(Debug, JsonSchema, Serialize)]
pub struct InterfaceStatus {
    /// What `attach` noted.
    #[serde(flatten)]
    pub attached: AttachedInterface,
    /// Whether the program is on it now.
    pub active: bool,
}

/// A rule and what came of it.
#[derive(Debug, JsonSchema, Serialize)]
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
#[derive(Debug, Clone, Copy, Default, JsonSchema, Serialize)]
pub struct ResetStatus {
    /// Sent.
    pub sent: u64,
    /// Not sent, because their source had got enough.
    pub silent_source: u64,
    /// Not sent, because all sources together had.
    pub silent_total: u64,
}

/// Cells of the table of sources.
#[derive(Debug, Clone, Copy, JsonSchema, Serialize)]
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
        match Self::state(&pins, daemon_pid)? {
            Some(state) => Self::attached(state, &pins, daemon_pid),
            None => Ok(Self::off(daemon_pid)),
        }
    }

    /// What is attached, in words; `None` where nothing is, and nothing is waited for.
    ///
    /// # Errors
    ///
    /// As the file system says; where something is attached and the words for it are lost.
    pub fn state(pins: &Pins, daemon_pid: Option<i32>) -> anyhow::Result<Option<State>> {
        let is_attached = !pins.links()?.is_empty();
        match State::load()? {
            None if is_attached => Err(Failure::new(
                "limits are attached, but what they are called is lost: /run/limiterctl/state.json is missing",
                "remove them with: limiterctl detach; then attach anew",
            )
            .into()),
            state => Ok(state.filter(|state| is_attached || daemon_pid.is_some() && !state.waiting.is_empty())),
        }
    }

    /// Where nothing is attached.
    pub fn off(daemon_pid: Option<i32>) -> Self {
        Self {
            mode: Mode::Off,
            enforcing: false,
            proof: None,
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
        let counts_open = rules.iter().any(|rule| rule.rule.watches_handshakes());
        let is_counted = !counts_open || pins.link(COUNT_OPEN)?.is_some();
        let mut status = Self {
            mode: if rules.iter().all(|rule| rule.rule.monitor)
                && outbound.as_ref().is_none_or(|outbound| outbound.monitor)
            {
                Mode::Monitor
            } else {
                Mode::Enforce
            },
            enforcing: false,
            proof: state.proof,
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
        };
        status.enforcing = status.is_enforcing(is_counted);
        Ok(status)
    }

    /// Whether all that was asked for is attached, held when it was tried, and refuses. `is_counted` is whether what counts open
    /// connections is there, if anybody asked for it.
    pub fn is_enforcing(&self, is_counted: bool) -> bool {
        let mut cgroups = self.outbound.iter().flat_map(|outbound| &outbound.cgroups);
        self.mode == Mode::Enforce
            && is_counted
            && self.waits.is_empty()
            && self.interfaces.iter().all(|interface| interface.active)
            && cgroups.all(|cgroup| cgroup.active)
            && self.proof.as_ref().is_some_and(|proof| proof.failure.is_none())
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
