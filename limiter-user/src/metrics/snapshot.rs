//! All that a page tells, as of one moment.

use std::collections::BTreeMap;

use limiter_common::maps;
use limiter_common::name::NameId;
use limiter_common::open::{Count, Event, Key};
use limiter_common::outbound::tables::HostName;

use super::fill::{Fill, Fills};
use super::hosts::{Choice, Hosts};
use crate::bpf::open::COUNT_OPEN;
use crate::bpf::reports::ReportCounts;
use crate::bpf::{OpenTables, Pins, Runs, batch, runs};
use crate::state::{RuleState, State};
use crate::status::Status;

/// What is attached and what it did.
#[derive(Debug)]
pub struct Snapshot {
    /// Counters; neither connections nor the table of sources.
    pub status: Status,
    /// Where handshakes matter to a rule, what is known of connections.
    pub connections: Option<Connections>,
    /// Where destinations are limited, their names.
    pub hosts: Option<Hosts>,
    /// How full tables are.
    pub fills: Vec<Fill>,
    /// How many refusals were reported to the daemon.
    pub reports: Option<ReportCounts>,
    /// What each program took, by its name, where the kernel counts that.
    pub runs: BTreeMap<String, Runs>,
}

/// Connections that sources hold open.
#[derive(Debug, Default)]
pub struct Connections {
    /// Whether the program that counts them is there.
    pub attached: bool,
    /// How many there are, by the rule's number.
    pub open: BTreeMap<u32, u64>,
    /// What happened, by [`Event`].
    pub events: BTreeMap<&'static str, u64>,
}

/// Takes snapshots.
#[derive(Debug, Default)]
pub struct Reader {
    fills: Fills,
}

impl Reader {
    /// Takes one.
    ///
    /// # Errors
    ///
    /// As the kernel and the file system say.
    pub fn read(&mut self) -> anyhow::Result<Snapshot> {
        let pins = Pins::locate();
        let Some(state) = State::load()?.filter(|_| pins.links().is_ok_and(|links| !links.is_empty())) else {
            return Ok(Snapshot::of(Status::off(None)));
        };
        Ok(Snapshot {
            connections: Connections::read(&state.rules, &pins)?,
            hosts: state.outbound.is_some().then(|| hosts(&pins)).transpose()?,
            fills: self.fills.read(&pins)?,
            reports: Some(ReportCounts::read(&pins)?),
            runs: runs(&pins)?,
            status: Status::counters(state, &pins, None)?,
        })
    }
}

impl Snapshot {
    /// Nothing but counters.
    pub const fn of(status: Status) -> Self {
        Self {
            status,
            connections: None,
            hosts: None,
            fills: Vec::new(),
            reports: None,
            runs: BTreeMap::new(),
        }
    }
}

impl Connections {
    fn read(rules: &[RuleState], pins: &Pins) -> anyhow::Result<Option<Self>> {
        if !rules.iter().any(RuleState::watches_handshakes) {
            return Ok(None);
        }
        let events = OpenTables::pinned(pins)?.events()?;
        let mut open = BTreeMap::new();
        batch::for_each(&pins.map(maps::OPEN)?, |key: Key, word: &u64| {
            *open.entry(key.rule).or_default() += u64::from(Count::from_bits(*word).open());
        })?;
        Ok(Some(Self {
            attached: pins.link(COUNT_OPEN)?.is_some(),
            open,
            events: Event::ALL.into_iter().map(|event| (event.as_str(), events.0[event as usize])).collect(),
        }))
    }
}

fn hosts(pins: &Pins) -> anyhow::Result<Hosts> {
    let mut choice = Choice::default();
    batch::for_each(&pins.map(maps::HOSTS)?, |id: u64, host: &HostName| {
        if let Some(id) = NameId::from_bits(id) {
            choice.add(id, host);
        }
    })?;
    Ok(choice.finish())
}
