//! The same for destinations.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use comfy_table::{CellAlignment, Table};
use limiter_common::dns::Unread;
use limiter_common::outbound::tables::Event;
use limiter_common::verdict::Reason;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bpf::cgroup::ON_CGROUPS;
use crate::bpf::{HostTables, Pins, cgroup_link};
use crate::state::{Again, AttachedCgroup, HostRuleState, OutboundState};
use crate::table;

/// Limits on destinations and what came of them.
#[derive(Debug, JsonSchema, Serialize)]
pub struct OutboundStatus {
    /// Whose processes they hold for.
    pub cgroups: Vec<CgroupStatus>,
    /// What a refused call gets.
    pub errno: String,
    /// Whether refusals are only counted.
    pub monitor: bool,
    /// First the rule for what is not listed.
    pub rules: Vec<HostRuleStatus>,
    /// What was counted beside the rules.
    pub events: BTreeMap<&'static str, u64>,
    /// DNS messages, or parts of them, that taught nothing, by reason.
    pub unread: BTreeMap<&'static str, u64>,
}

/// A cgroup.
#[derive(Debug, JsonSchema, Serialize)]
pub struct CgroupStatus {
    /// What `attach` noted.
    #[serde(flatten)]
    pub attached: AttachedCgroup,
    /// Whether it is still there, with all programs on it. A unit that starts anew has a new one, which the daemon attaches.
    pub active: bool,
}

/// A rule and what came of it.
#[derive(Debug, JsonSchema, Serialize)]
pub struct HostRuleStatus {
    /// The rule in words.
    #[serde(flatten)]
    pub rule: HostRuleState,
    /// New connections that were admitted.
    pub allowed: u64,
    /// Connections, queries and packets that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

impl OutboundStatus {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn read(state: OutboundState, pins: &Pins) -> anyhow::Result<Self> {
        let tables = HostTables::pinned(pins)?;
        let mut rules = Vec::with_capacity(state.rules.len());
        for rule in state.rules {
            let counters = tables.counters(rule.number)?;
            let refused = |reason: Reason| (reason.as_str(), counters.refused[reason as usize]);
            let refused = Reason::OUTBOUND.into_iter().map(refused).collect();
            rules.push(HostRuleStatus { rule, allowed: counters.allowed, refused });
        }
        let (events, unread) = (tables.events()?, tables.unread()?);
        Ok(Self {
            cgroups: state.cgroups.into_iter().map(|cgroup| CgroupStatus::new(cgroup, pins)).collect(),
            errno: state.errno,
            monitor: state.monitor,
            rules,
            events: Event::ALL.into_iter().map(|event| (event.as_str(), events.0[event as usize])).collect(),
            unread: Unread::ALL.into_iter().map(|why| (why.as_str(), unread.0[why as usize])).collect(),
        })
    }

    pub(super) fn cgroup_lines(&self, has_daemon: bool) -> impl Iterator<Item = String> {
        self.cgroups.iter().flat_map(move |CgroupStatus { attached, active }| {
            let gone = match (active, has_daemon) {
                (true, _) => "",
                (false, true) => "; NOT ATTACHED ANY MORE",
                (false, false) => "; NOT ATTACHED ANY MORE, and nobody attaches its successor",
            };
            let line = format!("cgroup {}{gone}", attached.name);
            std::iter::once(line).chain(attached.again.as_ref().map(Again::line))
        })
    }

    pub(super) fn rules_table(&self) -> Table {
        let mut table = table::new(["destinations", "limit", "allowed", "rate", "backoff", "other"]);
        for HostRuleStatus { rule, allowed, refused } in &self.rules {
            let (rate, backoff) = (refused[Reason::Rate.as_str()], refused[Reason::Backoff.as_str()]);
            let other = refused.values().sum::<u64>() - rate - backoff;
            table.add_row([
                rule.hosts.join(", "),
                rule.rate.clone().unwrap_or_default(),
                allowed.to_string(),
                rate.to_string(),
                backoff.to_string(),
                other.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// What is worth a word.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.monitor {
            lines.push("destinations: monitor mode, what is refused here went through".into());
        }
        for (why, count) in self.unread.iter().filter(|(_, count)| **count > 0) {
            lines.push(format!("DNS messages that taught nothing, {why}: {count}"));
        }
        if self.events[Event::HandedOver.as_str()] > 0 {
            lines.push(format!(
                "names asked for again, because their answers were not wholly read: {}",
                self.events[Event::HandedOver.as_str()]
            ));
        }
        if self.events[Event::HandoverLost.as_str()] > 0 {
            lines.push(format!(
                "names whose answers were not wholly read, and that nobody asked for again: {}",
                self.events[Event::HandoverLost.as_str()]
            ));
        }
        lines
    }
}

impl CgroupStatus {
    fn new(attached: AttachedCgroup, pins: &Pins) -> Self {
        let is_on = |program| pins.is_on(&cgroup_link(attached.id, program), attached.id);
        let is_there = fs::metadata(&attached.path).is_ok_and(|directory| directory.ino() == attached.id);
        let active = is_there && ON_CGROUPS.into_iter().all(is_on);
        Self { attached, active }
    }
}
