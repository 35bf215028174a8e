//! The connections that sources hold open: what `list sources` and `status` tell of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use comfy_table::CellAlignment;
use limiter_common::maps::MAX_OPEN;
use limiter_common::open::{Count, Event};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bpf::Pins;
use crate::bpf::open::OpenTables;
use crate::bpf::outbound::ip;
use crate::sockets::Sockets;
use crate::state::{RuleState, State};
use crate::table;

/// A source that holds connections; this is its JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Source {
    /// Its prefix: `192.0.2.0/24`.
    pub source: String,
    /// The name of the rule.
    pub rule: String,
    /// Connections that it holds.
    pub open: u32,
    /// Connections that it may hold.
    pub max_open: u32,
}

/// All that hold one, those with the most first; `None` where no rule limits that.
///
/// # Errors
///
/// As the kernel says.
pub fn read() -> anyhow::Result<Option<Vec<Source>>> {
    let Some(state) = State::load()?.filter(|state| limits(&state.rules)) else { return Ok(None) };
    let mut sources = Vec::new();
    for (key, word) in OpenTables::pinned(&Pins::locate())?.counts() {
        let open = Count::from_bits(word).open();
        if let Some(rule) = state.rule(key.rule)
            && open > 0
        {
            let address = ip(&key.source);
            let length = match address {
                IpAddr::V4(_) => rule.source_prefix.v4,
                IpAddr::V6(_) => rule.source_prefix.v6,
            };
            let source = format!("{address}/{length}");
            sources.push(Source {
                source,
                rule: rule.name.clone(),
                open,
                max_open: rule.max_open.unwrap_or(0),
            });
        }
    }
    sources.sort_by(|a, b| (b.open, &a.source).cmp(&(a.open, &b.source)));
    Ok(Some(sources))
}

/// For people.
pub fn table(sources: &[Source]) -> String {
    let mut table = table::new(["source", "rule", "open", "of"]);
    for source in sources {
        let numbers = [source.open.to_string(), source.max_open.to_string()];
        table.add_row([source.source.clone(), source.rule.clone()].into_iter().chain(numbers));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn limits(rules: &[RuleState]) -> bool {
    rules.iter().any(|rule| rule.max_open.is_some())
}

/// What `status` tells of open connections.
#[derive(Debug, JsonSchema, Serialize)]
pub struct OpenStatus {
    /// Sources that hold one.
    pub sources: usize,
    /// How many are counted at most.
    pub capacity: u32,
    /// What happened, by its word.
    pub events: BTreeMap<&'static str, u64>,
    /// Of each rule, by its place: the connections that all its sources hold, and whether anything listens.
    #[serde(skip)]
    pub rules: Vec<(u64, bool)>,
}

impl OpenStatus {
    /// Reads it; `None` where handshakes matter to no rule.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn read(rules: &[RuleState], pins: &Pins) -> anyhow::Result<Option<Self>> {
        if !rules.iter().any(RuleState::watches_handshakes) {
            return Ok(None);
        }
        let tables = OpenTables::pinned(pins)?;
        let (counts, events, sockets) = (tables.counts(), tables.events()?, Sockets::read()?);
        let rules = rules.iter().map(|rule| {
            let own = counts.iter().filter(|(key, _)| key.rule == rule.number);
            let open = own.map(|(_, &word)| u64::from(Count::from_bits(word).open())).sum();
            (open, sockets.listening.iter().any(|&port| rule.has_port(port)))
        });
        Ok(Some(Self {
            sources: counts.values().filter(|&&word| Count::from_bits(word).open() > 0).count(),
            capacity: MAX_OPEN,
            events: Event::ALL.into_iter().map(|event| (event.as_str(), events.0[event as usize])).collect(),
            rules: rules.collect(),
        }))
    }

    /// What is worth a word.
    pub fn remarks<'a>(&self, rules: impl Iterator<Item = &'a RuleState>) -> Vec<String> {
        let mut lines = Vec::new();
        let rules = rules.zip(&self.rules);
        for (rule, _) in rules.filter(|(rule, (_, listening))| rule.watches_handshakes() && !listening) {
            lines.push(format!(
                "{}: nothing listens on its ports in this network namespace, and only here connections are counted",
                rule.name
            ));
        }
        for (event, words) in [
            (Event::OtherNamespace, "connections to limited ports in other network namespaces: not counted"),
            (Event::Full, "connections not counted: more sources than the table holds"),
            (Event::Contention, "connections counted late, because other CPUs were faster"),
            (Event::Healed, "counts corrected by the kernel's list of sockets"),
        ] {
            let count = self.events[event.as_str()];
            if count > 0 {
                lines.push(format!("{count} {words}"));
            }
        }
        lines
    }
}
