//! The page, without a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::fill::Fill;
use super::hosts::{Host, Hosts};
use super::page::{Format, page};
use super::snapshot::{Connections, Snapshot};
use crate::bpf::Runs;
use crate::bpf::reports::ReportCounts;
use crate::config::prefix::SourcePrefix;
use crate::state::{Proof, Waiting};
use crate::status::{
    CgroupStatus, HostRuleStatus, InterfaceStatus, Mode, OutboundStatus, ResetStatus, RuleStatus, Status,
};

/// One of everything that a page can tell.
fn everything() -> Snapshot {
    let prefix: SourcePrefix = "32,64".parse().unwrap();
    let rule = json!({
        "name": "web", "number": 1, "ports": ["80"], "rate": "1/second burst 5", "total_rate": null,
        "strangers_rate": "5/second", "charge": "syn", "max_open": 5, "backoff_ms": 0, "source_prefix": prefix,
        "action": "reset", "monitor": false,
    });
    let inbound = RuleStatus {
        rule: serde_json::from_value(rule).unwrap(),
        passed: 11,
        allowed: 12,
        refused: [("rate", 13), ("open", 14)].into(),
        open: None,
        listening: None,
        flood_since: Some("now".into()),
        resets: 15,
        sources: 16,
        evictions: 17,
    };
    let host_rule = json!({"number": 3, "hosts": ["a.test", "*.a.test"], "rate": "1/second", "lookups": null,
        "packets": null, "bytes": null, "backoff_ms": 0, "shared": true});
    let outbound = OutboundStatus {
        cgroups: vec![CgroupStatus {
            attached: serde_json::from_value(json!({"name": "shop.service", "path": "/", "id": 7})).unwrap(),
            active: true,
        }],
        errno: "EDQUOT".into(),
        monitor: false,
        rules: vec![HostRuleStatus {
            rule: serde_json::from_value(host_rule).unwrap(),
            allowed: 21,
            refused: [("rate", 22)].into(),
        }],
        events: [("queries", 23), ("names_handover_lost", 24)].into(),
        unread: [("truncated", 25)].into(),
    };
    let interface = json!({"name": "eth0", "index": 2, "xdp_mode": "native"});
    Snapshot {
        status: Status {
            mode: Mode::Enforce,
            proof: Some(Proof { at: "now".into(), untried: Vec::new(), failure: None }),
            interfaces: vec![InterfaceStatus {
                attached: serde_json::from_value(interface).unwrap(),
                active: true,
            }],
            rules: vec![inbound],
            outbound: Some(outbound),
            skipped: [("truncated", 31)].into(),
            resets: ResetStatus { sent: 0, silent_source: 32, silent_total: 33 },
            ..Status::off(Some(1))
        },
        connections: Some(Connections {
            attached: true,
            open: [(1, 41)].into(),
            events: [("opened", 42)].into(),
        }),
        hosts: Some(Hosts {
            named: vec![Host { name: "a.test".into(), rule: 3, allowed: 51, refused: 52 }],
            others: 53,
            others_allowed: 54,
            others_refused: 55,
        }),
        fills: vec![Fill { map: "sources".into(), used: 61, capacity: 62 }],
        reports: Some(ReportCounts { reported: 81, lost: 82 }),
        runs: [("inbound".into(), Runs { count: 71, time: Duration::from_millis(72) })].into(),
    }
}

fn text(snapshot: &Snapshot) -> String {
    page(snapshot, Format::Text)
}

#[track_caller]
fn assert_has(page: &str, line: &str) {
    assert!(page.lines().any(|own| own == line), "{line}\nis not in\n{page}");
}

#[test]
fn every_number_has_its_line() {
    let page = text(&everything());
    for line in [
        "limiter_enforcing 1",
        r#"limiter_mode{mode="enforce"} 1"#,
        r#"limiter_mode{mode="monitor"} 0"#,
        r#"limiter_attached{type="interface",target="eth0"} 1"#,
        r#"limiter_attached{type="cgroup",target="shop.service"} 1"#,
        r#"limiter_attached{type="sockets",target="all"} 1"#,
        r#"limiter_interface_info{interface="eth0",xdp_mode="native"} 1"#,
        concat!(r#"limiter_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        r#"limiter_passed_total{kind="inbound",rule="web"} 11"#,
        r#"limiter_passed_total{kind="outbound",rule="a.test,*.a.test"} 21"#,
        r#"limiter_allow_listed_total{kind="inbound",rule="web"} 12"#,
        r#"limiter_refused_total{kind="inbound",rule="web",reason="rate"} 13"#,
        r#"limiter_refused_total{kind="inbound",rule="web",reason="open"} 14"#,
        r#"limiter_refused_total{kind="inbound",rule="web",reason="denied"} 0"#,
        r#"limiter_refused_total{kind="outbound",rule="a.test,*.a.test",reason="rate"} 22"#,
        r#"limiter_resets_total{kind="inbound",rule="web"} 15"#,
        r#"limiter_sources_total{kind="inbound",rule="web"} 16"#,
        r#"limiter_source_evictions_total{kind="inbound",rule="web"} 17"#,
        r#"limiter_flood{kind="inbound",rule="web"} 1"#,
        r#"limiter_dns_events_total{event="queries"} 23"#,
        r#"limiter_events_lost_total{event="names_handover_lost"} 24"#,
        r#"limiter_events_lost_total{event="refusals"} 82"#,
        r#"limiter_events_reported_total{event="refusals"} 81"#,
        r#"limiter_dns_unread_total{reason="truncated"} 25"#,
        r#"limiter_skipped_total{reason="truncated"} 31"#,
        r#"limiter_resets_withheld_total{budget="source"} 32"#,
        r#"limiter_resets_withheld_total{budget="total"} 33"#,
        r#"limiter_open_connections{kind="inbound",rule="web"} 41"#,
        r#"limiter_connection_events_total{event="opened"} 42"#,
        r#"limiter_host_passed_total{host="a.test",rule="a.test,*.a.test"} 51"#,
        r#"limiter_host_refused_total{host="a.test",rule="a.test,*.a.test"} 52"#,
        "limiter_other_hosts 53",
        "limiter_other_hosts_passed 54",
        "limiter_other_hosts_refused 55",
        r#"limiter_map_entries{map="sources"} 61"#,
        r#"limiter_map_capacity{map="sources"} 62"#,
        r#"limiter_program_runs_total{program="inbound"} 71"#,
        r#"limiter_program_run_seconds_total{program="inbound"} 0.072"#,
    ] {
        assert_has(&page, line);
    }
    assert!(!page.contains(r#"limiter_dns_events_total{event="names_handover_lost"}"#), "it is told once");
}

#[test]
fn openmetrics_is_for_who_asks_for_it_and_has_an_end() {
    let asked = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Format::wanted(asked), Format::OpenMetrics);
    for accept in ["", "*/*", "text/plain", "application/json"] {
        assert_eq!(Format::wanted(accept), Format::Text);
    }
    let page = page(&everything(), Format::OpenMetrics);
    assert!(page.ends_with("\n# EOF\n"), "{page}");
    assert_has(&page, "# TYPE limiter_refused counter");
    assert_has(&page, "# UNIT limiter_program_run_seconds seconds");
}

#[test]
fn enforcing_is_said_only_where_all_of_it_holds() {
    type Change = fn(&mut Snapshot);
    let cases: [(&str, Change); 8] = [
        ("an interface that is waited for", |snapshot| {
            let (kind, name, why) = ("interface".into(), "eth7".into(), "it is not there".into());
            snapshot.status.waits.push(Waiting { kind, name, why });
        }),
        ("monitor mode", |snapshot| snapshot.status.mode = Mode::Monitor),
        ("nothing attached", |snapshot| *snapshot = Snapshot::of(Status::off(None))),
        ("an interface lost", |snapshot| snapshot.status.interfaces[0].active = false),
        ("a cgroup lost", |snapshot| snapshot.status.outbound.as_mut().unwrap().cgroups[0].active = false),
        ("not tried", |snapshot| snapshot.status.proof = None),
        ("a trial that failed", |snapshot| {
            snapshot.status.proof.as_mut().unwrap().failure = Some("a SYN passed".into());
        }),
        ("connections not counted", |snapshot| snapshot.connections.as_mut().unwrap().attached = false),
    ];
    assert_has(&text(&everything()), "limiter_enforcing 1");
    for (what, change) in cases {
        let mut snapshot = everything();
        change(&mut snapshot);
        assert!(text(&snapshot).lines().any(|line| line == "limiter_enforcing 0"), "{what}");
    }
}

/// Whoever controls a zone chooses names.
#[test]
fn a_name_cannot_end_its_label() {
    let evil = "a\"} 1\nlimiter_enforcing 0\n# \\";
    let mut snapshot = everything();
    let before = text(&snapshot).lines().count();
    snapshot.hosts.as_mut().unwrap().named[0].name = evil.into();
    snapshot.status.rules[0].rule.name = evil.into();
    for format in [Format::Text, Format::OpenMetrics] {
        let page = page(&snapshot, format);
        assert!(!page.lines().any(|line| line.starts_with("limiter_enforcing 0")), "{page}");
        let host =
            r#"limiter_host_passed_total{host="a\"} 1\nlimiter_enforcing 0\n# \\",rule="a.test,*.a.test"}"#;
        let host = format!("{host} 51");
        assert_has(&page, &host);
    }
    assert_eq!(text(&snapshot).lines().count(), before);
}

#[test]
fn one_name_under_two_rules_of_the_past_is_one_line() {
    let mut snapshot = everything();
    let old = |rule| Host { name: "b.test".into(), rule, allowed: 1, refused: 2 };
    snapshot.hosts.as_mut().unwrap().named = vec![old(8), old(9)];
    let page = text(&snapshot);
    assert_has(&page, r#"limiter_host_refused_total{host="b.test",rule="removed"} 4"#);
    assert_eq!(page.matches("limiter_host_refused_total{").count(), 1, "{page}");
}

/// Names of all metrics, with their types, meanings and labels, as the table of the documentation has them.
fn rows(page: &str) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let (mut help, mut kind) = (String::new(), String::new());
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').unwrap().1.trim_end_matches('.').to_owned();
        } else if let Some(text) = line.strip_prefix("# TYPE ") {
            text.split_once(' ').unwrap().1.clone_into(&mut kind);
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let labels =
                labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
            let labels: Vec<_> = labels.map(|name| format!("`{name}`")).collect();
            let unit = if name.contains("_seconds") { "seconds" } else { "" };
            let row = format!("| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(", "));
            rows.insert(name.to_owned(), row);
        }
    }
    rows
}

#[test]
fn the_documentation_has_every_metric_as_it_is_and_no_other() {
    let documentation = include_str!("../../../docs/metrics.md");
    let rows: Vec<_> = rows(&text(&everything())).into_values().collect();
    let documented: Vec<_> = documentation.lines().filter(|line| line.starts_with("| `limiter_")).collect();
    assert_eq!(documented, rows, "docs/metrics.md should have these rows:\n{}\n", rows.join("\n"));
}

#[test]
fn dashboard_and_alerts_name_no_metric_that_is_not_there() {
    let page = text(&everything());
    let there: BTreeSet<_> = rows(&page).into_keys().collect();
    for (file, text) in [
        ("limiterctl.json", include_str!("../../../dist/grafana/limiterctl.json")),
        ("alerts.yml", include_str!("../../../dist/prometheus/alerts.yml")),
        ("alerts_test.yml", include_str!("../../../dist/prometheus/alerts_test.yml")),
    ] {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let named: BTreeSet<_> =
            words.filter(|word| word.starts_with("limiter_")).map(str::to_owned).collect();
        assert!(named.len() > 5, "{file} names {named:?}");
        let unknown: Vec<_> = named.difference(&there).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}
