//! A snapshot as a page of text. Pure.
//!
//! Names and units are as Prometheus wants them: base units, `_total` behind what only grows. All values of
//! labels come from an enum or have a bound on their length; what they contain is escaped by the library.

mod inbound;
mod outbound;
mod series;

use std::time::Duration;

use prometheus_client::encoding::{prometheus_text, text};

use super::snapshot::Snapshot;
use crate::status::Mode;
use series::{Series, label};

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' older text, for whoever does not ask for the other.
    Text,
}

impl Format {
    /// The one that a client asks for by the header `Accept`.
    pub fn wanted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// The header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Writes the page.
pub fn page(snapshot: &Snapshot, format: Format) -> String {
    let mut series = Series::default();
    general(snapshot, &mut series);
    inbound::add(snapshot, &mut series);
    outbound::add(snapshot, &mut series);
    tables(snapshot, &mut series);

    let mut page = String::new();
    let written = match format {
        Format::OpenMetrics => text::encode(&mut page, series.registry()),
        Format::Text => prometheus_text::encode(&mut page, series.registry()),
    };
    // Writing to a string does not fail, and a page that is cut short must not look like one that is not.
    written.map_or_else(|_| String::new(), |()| page)
}

/// What is in force at all.
fn general(snapshot: &Snapshot, series: &mut Series) {
    let status = &snapshot.status;
    let is_counted = snapshot.connections.as_ref().is_none_or(|open| open.attached);
    series.gauge(
        "limiter_enforcing",
        "1 where all that was asked for is attached, held when it was tried, and refuses",
        [(vec![], status.is_enforcing(is_counted).into())],
    );
    series.gauge(
        "limiter_mode",
        "1 for the mode that limits are in, 0 for the others",
        [(Mode::Off, "off"), (Mode::Monitor, "monitor"), (Mode::Enforce, "enforce")]
            .map(|(mode, word)| (vec![("mode", word.into())], (status.mode == mode).into())),
    );
    series.gauge(
        "limiter_attached",
        "1 where the programs for a target are on it, 0 where they are gone or the target is",
        targets(snapshot).into_iter().map(|(kind, target, attached)| {
            (vec![("type", kind.into()), ("target", target)], attached.into())
        }),
    );
    series.info(
        "limiter_interface",
        "How the program runs on an interface",
        status.interfaces.iter().map(|interface| {
            let (name, number) = (&interface.attached.name, interface.attached.index);
            let mode = interface.attached.xdp_mode.to_string();
            vec![("interface", label(name, number)), ("xdp_mode", mode)]
        }),
    );
    series.info(
        "limiter_build",
        "The limiterctl that serves this page",
        [vec![("version", env!("CARGO_PKG_VERSION").into())]],
    );
}

/// Everything that should have programs on it: what kind of thing it is, its name, and whether it has.
fn targets(snapshot: &Snapshot) -> Vec<(&'static str, String, bool)> {
    let status = &snapshot.status;
    let interfaces = status.interfaces.iter().map(|interface| {
        ("interface", label(&interface.attached.name, interface.attached.index), interface.active)
    });
    let cgroups = status.outbound.iter().flat_map(|outbound| &outbound.cgroups);
    let cgroups =
        cgroups.map(|cgroup| ("cgroup", label(&cgroup.attached.name, cgroup.attached.id), cgroup.active));
    // Handshakes are seen from the root cgroup, whoever listens.
    let sockets = snapshot.connections.iter().map(|open| ("sockets", "all".to_owned(), open.attached));
    let waiting = status.waits.iter().map(|waiting| {
        let kind = if waiting.kind == "cgroup" { "cgroup" } else { "interface" };
        (kind, label(&waiting.name, 0), false)
    });
    interfaces.chain(cgroups).chain(sockets).chain(waiting).collect()
}

/// How full tables are, and what programs took.
fn tables(snapshot: &Snapshot, series: &mut Series) {
    let fills = || snapshot.fills.iter().map(|fill| (vec![("map", fill.map.clone())], fill));
    series.gauge(
        "limiter_map_entries",
        "Entries of a table, counted some seconds ago at the most",
        fills().map(|(labels, fill)| (labels, fill.used)),
    );
    series.gauge(
        "limiter_map_capacity",
        "The most entries that a table takes",
        fills().map(|(labels, fill)| (labels, fill.capacity)),
    );
    let runs = || snapshot.runs.iter().map(|(program, runs)| (vec![("program", program.clone())], runs));
    series.counter(
        "limiter_program_runs",
        "How often a program ran, where the kernel counts that (sysctl kernel.bpf_stats_enabled)",
        runs().map(|(labels, runs)| (labels, runs.count)),
    );
    series.seconds(
        "limiter_program_run",
        "Time that a program took, where the kernel counts that",
        runs().map(|(labels, runs)| (labels, Duration::as_secs_f64(&runs.time))),
    );
}
