//! What came of SYNs.

use limiter_common::verdict::Reason;

use super::series::{Labels, Series, label};
use crate::metrics::snapshot::Snapshot;
use crate::status::RuleStatus;

pub const KIND: (&str, &str) = ("kind", "inbound");

pub fn add(snapshot: &Snapshot, series: &mut Series) {
    let status = &snapshot.status;
    let rules = || status.rules.iter().map(|rule| (labels(rule), rule));
    series.counter(
        "limiter_allow_listed",
        "SYNs that passed because their sources are on the allow list",
        rules().map(|(labels, rule)| (labels, rule.allowed)),
    );
    series.counter(
        "limiter_resets",
        "Refused SYNs that were answered with a TCP reset",
        rules().map(|(labels, rule)| (labels, rule.resets)),
    );
    series.counter(
        "limiter_resets_withheld",
        "Refused SYNs that got silence in place of a reset, by whose budget was used up",
        (!status.rules.is_empty())
            .then_some([("source", status.resets.silent_source), ("total", status.resets.silent_total)])
            .into_iter()
            .flatten()
            .map(|(budget, count)| (vec![("budget", budget.into())], count)),
    );
    series.counter(
        "limiter_sources",
        "Sources that got a cell of their own; one that was pushed out and came back counts again",
        rules().map(|(labels, rule)| (labels, rule.sources)),
    );
    series.counter(
        "limiter_source_evictions",
        "Sources that pushed out another one that was not idle",
        rules().map(|(labels, rule)| (labels, rule.evictions)),
    );
    series.gauge(
        "limiter_flood",
        "1 while sources without a handshake are over the rate that they share, where there is one",
        rules()
            .filter(|(_, rule)| rule.rule.strangers_rate.is_some())
            .map(|(labels, rule)| (labels, rule.flood_since.is_some().into())),
    );
    series.counter(
        "limiter_skipped",
        "Packets that passed unjudged because they were not understood, by reason",
        (!status.rules.is_empty())
            .then_some(&status.skipped)
            .into_iter()
            .flatten()
            .map(|(reason, count)| (vec![("reason", (*reason).into())], *count)),
    );
    connections(snapshot, series);
}

/// What all rules for ports have passed.
pub fn passed(rules: &[RuleStatus]) -> impl Iterator<Item = (Labels, u64)> {
    rules.iter().map(|rule| (labels(rule), rule.passed))
}

/// What they have refused, by reason.
pub fn refused(rules: &[RuleStatus]) -> impl Iterator<Item = (Labels, u64)> {
    rules.iter().flat_map(|rule| {
        Reason::INBOUND.into_iter().map(move |reason| {
            let count = rule.refused.get(reason.as_str()).copied().unwrap_or_default();
            (with_reason(labels(rule), reason), count)
        })
    })
}

pub fn with_reason(mut labels: Labels, reason: Reason) -> Labels {
    labels.push(("reason", reason.as_str().into()));
    labels
}

fn labels(rule: &RuleStatus) -> Labels {
    vec![(KIND.0, KIND.1.into()), ("rule", label(&rule.rule.name, rule.rule.number))]
}

fn connections(snapshot: &Snapshot, series: &mut Series) {
    let connections = snapshot.connections.as_ref();
    let limited = snapshot.status.rules.iter().filter(|rule| rule.rule.max_open.is_some());
    series.gauge(
        "limiter_open_connections",
        "Connections that all sources together hold open, where a rule limits them",
        connections.into_iter().flat_map(|connections| {
            limited.clone().map(|rule| {
                (labels(rule), connections.open.get(&rule.rule.number).copied().unwrap_or_default())
            })
        }),
    );
    series.counter(
        "limiter_connection_events",
        "What happened to connections that are counted, by event",
        connections
            .into_iter()
            .flat_map(|connections| &connections.events)
            .map(|(event, count)| (vec![("event", (*event).into())], *count)),
    );
}
