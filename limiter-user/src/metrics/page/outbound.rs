//! What came of connections to destinations, and what is the same for both directions.

use limiter_common::outbound::tables::Event;
use limiter_common::verdict::Reason;

use super::inbound;
use super::series::{Labels, Series, label};
use crate::metrics::hosts::{Host, Hosts};
use crate::metrics::snapshot::Snapshot;
use crate::status::{HostRuleStatus, OutboundStatus};

/// The event that is a loss, and has a family of its own.
const LOST: Event = Event::HandoverLost;
/// The word for events that are refusals.
const REFUSALS: &str = "refusals";

pub fn add(snapshot: &Snapshot, series: &mut Series) {
    let status = &snapshot.status;
    let outbound = status.outbound.as_ref();
    let rules = || outbound.into_iter().flat_map(|outbound| &outbound.rules);
    series.counter(
        "limiter_passed",
        "SYNs and new connections within all limits of a rule",
        inbound::passed(&status.rules).chain(rules().map(|rule| (labels(rule), rule.allowed))),
    );
    series.counter(
        "limiter_refused",
        "SYNs, connections, queries and packets over a limit; in monitor mode they went through all the same",
        inbound::refused(&status.rules).chain(rules().flat_map(refused)),
    );
    let event = |(event, count): (&&'static str, &u64)| (vec![("event", (*event).into())], *count);
    let events = || outbound.into_iter().flat_map(|outbound| &outbound.events);
    series.counter(
        "limiter_dns_events",
        "What happened to DNS messages, names and addresses, by event",
        events().filter(|(event, _)| **event != LOST.as_str()).map(event),
    );
    let handovers = events().filter(|(event, _)| **event == LOST.as_str()).map(event);
    let refusals = snapshot.reports.iter().map(|reports| (vec![("event", REFUSALS.into())], reports.lost));
    series.counter(
        "limiter_events_lost",
        "Events that the daemon was too slow for: names whose answers nobody asks for again, and refusals",
        handovers.chain(refusals),
    );
    series.counter(
        "limiter_events_reported",
        "Refusals that the daemon was told of: of each source, name and address once a second at most",
        snapshot.reports.iter().map(|reports| (vec![("event", REFUSALS.into())], reports.reported)),
    );
    series.counter(
        "limiter_dns_unread",
        "DNS messages, or parts of them, that taught nothing, by reason",
        outbound
            .into_iter()
            .flat_map(|outbound| &outbound.unread)
            .map(|(reason, count)| (vec![("reason", (*reason).into())], *count)),
    );
    if let (Some(outbound), Some(hosts)) = (outbound, &snapshot.hosts) {
        names(outbound, hosts, series);
    }
}

fn names(outbound: &OutboundStatus, hosts: &Hosts, series: &mut Series) {
    let named = || hosts.named.iter().map(|host| (host_labels(outbound, host), host));
    series.counter(
        "limiter_host_passed",
        "Admitted connections to a name, for the most refused names and then the most connected to",
        named().map(|(labels, host)| (labels, host.allowed)),
    );
    series.counter(
        "limiter_host_refused",
        "Connections, queries and packets that a name refused, for the same names",
        named().map(|(labels, host)| (labels, host.refused)),
    );
    // Gauges: each falls when one of these names gets a series of its own, or is forgotten.
    for (name, help, value) in [
        ("limiter_other_hosts", "Names without a series of their own", hosts.others),
        (
            "limiter_other_hosts_passed",
            "What they passed; it falls when one gets a series",
            hosts.others_allowed,
        ),
        ("limiter_other_hosts_refused", "What they refused; it falls likewise", hosts.others_refused),
    ] {
        series.gauge(name, help, [(vec![], value)]);
    }
}

fn refused(rule: &HostRuleStatus) -> impl Iterator<Item = (Labels, u64)> {
    Reason::OUTBOUND.into_iter().map(move |reason| {
        let count = rule.refused.get(reason.as_str()).copied().unwrap_or_default();
        (inbound::with_reason(labels(rule), reason), count)
    })
}

fn labels(rule: &HostRuleStatus) -> Labels {
    vec![("kind", "outbound".into()), ("rule", label(&rule.rule.called(), rule.rule.number))]
}

fn host_labels(outbound: &OutboundStatus, host: &Host) -> Labels {
    let rule = outbound.rules.iter().find(|rule| rule.rule.number == host.rule);
    // What is remembered under a rule that is no more.
    let rule = rule.map_or_else(|| "removed".into(), |rule| label(&rule.rule.called(), rule.rule.number));
    vec![("host", host.name.clone()), ("rule", rule)]
}
