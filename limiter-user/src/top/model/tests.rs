use std::collections::BTreeMap;

use limiter_common::verdict::Reason;

use super::super::sample::Hidden;
use super::*;
use crate::config::prefix::SourcePrefix;
use crate::state::{AttachedInterface, HostRuleState, RuleState};
use crate::status::{HostRuleStatus, InterfaceStatus, Mode, OutboundStatus, RuleStatus};

const NOW: u64 = 5_000_000_000_000;
const A_SECOND: u64 = 1_000_000_000;

/// A rule for ports that has passed and refused so many.
fn inbound(number: u32, passed: u64, refused: u64) -> RuleStatus {
    let rule = RuleState {
        name: format!("web{number}"),
        number,
        ports: vec!["80".into()],
        rate: Some("900/minute burst 60".into()),
        total_rate: None,
        strangers_rate: None,
        charge: "syn".into(),
        max_open: Some(15),
        backoff_ms: 60_000,
        source_prefix: SourcePrefix { v4: 32, v6: 64 },
        action: "reset".into(),
        monitor: false,
    };
    let refused: BTreeMap<_, _> = [(Reason::Rate.as_str(), refused)].into();
    RuleStatus {
        rule,
        passed,
        allowed: 0,
        refused,
        open: None,
        listening: None,
        flood_since: None,
        resets: 0,
        sources: 0,
        evictions: 0,
    }
}

fn outbound(allowed: u64, refused: u64) -> OutboundStatus {
    let rule = HostRuleState {
        number: 3,
        name: None,
        hosts: vec!["google.com".into(), "*.google.com".into()],
        rate: Some("20/second burst 20".into()),
        lookups: None,
        packets: None,
        bytes: None,
        backoff_ms: 15_000,
        shared: true,
    };
    let refused = [(Reason::Rate.as_str(), refused)].into();
    OutboundStatus {
        cgroups: Vec::new(),
        errno: "EDQUOT".into(),
        monitor: false,
        rules: vec![HostRuleStatus { rule, allowed, refused }],
        events: BTreeMap::new(),
        unread: BTreeMap::new(),
    }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

/// A sample so many seconds after the first one.
pub fn sample(seconds: u64, rules: Vec<RuleStatus>, hosts: OutboundStatus) -> Sample {
    let attached = AttachedInterface {
        name: "eth0".into(),
        index: 2,
        xdp_mode: crate::bpf::XdpMode::Native,
        why_generic: None,
        again: None,
    };
    let status = Status {
        mode: Mode::Enforce,
        interfaces: vec![InterfaceStatus { attached, active: true }],
        rules,
        outbound: Some(hosts),
        ..Status::off(Some(1234))
    };
    Sample { now: NOW + seconds * A_SECOND, status, lists: None }
}

/// Somebody in each list.
pub fn lists() -> Lists {
    let until = |seconds: u64| Cell::Until(NOW + seconds * A_SECOND, true);
    let source = |address: &str, open, used, state| {
        vec![text(address), text("web1"), Cell::Count(open), Cell::Count(15), Cell::Percent(used), state]
    };
    let host = |name: &str, refused: f64, state| {
        let counts = [Cell::Rate(2.0), Cell::Rate(refused), Cell::Count(100), Cell::Count(7)];
        [vec![text(name), text("default")], counts.to_vec(), vec![state]].concat()
    };
    Lists {
        at: NOW,
        sources: vec![
            source("192.0.2.7/32", 3, 100, until(60)),
            source("2001:db8:0:1::/64", 12, 40, Cell::Until(0, false)),
        ],
        hosts: vec![host("example.org", 0.0, Cell::Until(0, false)), host("google.com", 25.0, until(15))],
        backoff: vec![
            vec![text("192.0.2.7/32"), text("web1"), text("in"), until(60)],
            vec![text("all of google.com,*.google.com"), text("google.com"), text("out"), until(15)],
        ],
        other_sources: Hidden { count: 41, until: NOW + 58 * A_SECOND },
        other_destinations: Hidden::default(),
    }
}

/// Three seconds in which more and more came.
pub fn model() -> Model {
    let mut model = Model::new(sample(0, vec![inbound(1, 1_000, 10), inbound(2, 0, 0)], outbound(500, 0)));
    for second in 1..=3 {
        let rules = vec![inbound(1, 1_000 + 100 * second * second, 10 + 20 * second), inbound(2, 0, 0)];
        model.update(Ok(sample(second, rules, outbound(500 + 10 * second, 5 * second))));
    }
    let last = vec![inbound(1, 2_600, 150), inbound(2, 0, 0)];
    model.update(Ok(Sample { lists: Some(lists()), ..sample(4, last, outbound(540, 20)) }));
    model
}

fn first_cells(model: &Model) -> Vec<String> {
    model.rows.iter().map(|row| row[0].words(model.now)).collect()
}

#[test]
fn rates_are_what_came_between_two_samples() {
    let mut model = Model::new(sample(0, vec![inbound(1, 1_000, 10)], outbound(5, 0)));
    assert_eq!(model.rates(0), None, "one sample has no rate");
    model.update(Ok(sample(2, vec![inbound(1, 1_300, 110)], outbound(5, 8))));
    assert_eq!(model.rates(0), Some(Rates { passed: 150.0, refused: 50.0 }));
    assert_eq!(model.rates(1), Some(Rates { passed: 0.0, refused: 4.0 }));
    assert_eq!(model.history[0].len(), 2, "one for each second, also of a pause");
}

#[test]
fn a_rule_that_comes_brings_no_rate_with_it_and_one_that_begins_anew_has_none_below_zero() {
    let mut model = Model::new(sample(0, vec![inbound(1, 1_000, 10)], outbound(5, 0)));
    model.update(Ok(sample(1, vec![inbound(1, 0, 0), inbound(2, 1_000_000, 7)], outbound(5, 0))));
    assert_eq!(model.rates(0), Some(Rates::default()));
    model.update(Ok(sample(2, vec![inbound(1, 0, 0), inbound(2, 1_000_001, 7)], outbound(5, 0))));
    assert_eq!(model.rates(0), Some(Rates { passed: 1.0, refused: 0.0 }));
}

#[test]
fn what_is_remembered_has_an_end() {
    let mut model = Model::new(sample(0, vec![inbound(1, 0, 0)], outbound(0, 0)));
    model.update(Ok(sample(100_000, vec![inbound(1, 1, 0)], outbound(0, 0))));
    model.update(Ok(sample(100_001, vec![inbound(1, 1, 0)], outbound(0, 0))));
    assert!(model.history.iter().all(|history| history.len() == HISTORY));
}

#[test]
fn the_busiest_come_first_and_keys_change_that() {
    let mut model = model();
    assert_eq!(first_cells(&model), ["web1", "google.com,*.google.com", "web2"]);
    model.act(Action::Show(Pane::Hosts));
    assert_eq!(first_cells(&model), ["google.com", "example.org"]);
    model.act(Action::Reverse);
    assert_eq!(first_cells(&model), ["example.org", "google.com"]);
    for _ in 0..4 {
        model.act(Action::Sort);
    }
    assert_eq!(model.order(), Order { column: 0, is_reversed: false }, "after the last column the first");
    assert_eq!(first_cells(&model), ["example.org", "google.com"]);
    model.act(Action::Show(Pane::Rules));
    assert_eq!(model.order().column, 3, "each pane has its own order");
}

#[test]
fn a_filter_is_for_words_in_any_column_and_goes_again() {
    let mut model = model();
    model.act(Action::Show(Pane::Sources));
    "DB8".chars().for_each(|letter| _ = model.act(Action::Type(letter)));
    assert_eq!(first_cells(&model), ["2001:db8:0:1::/64"]);
    model.act(Action::Show(Pane::Hosts));
    assert!(model.rows.is_empty(), "it holds for all panes");
    model.act(Action::Clear);
    assert_eq!(model.rows.len(), 2);
}

#[test]
fn panes_go_round() {
    let mut model = model();
    let mut seen = Vec::new();
    for _ in 0..Pane::ALL.len() {
        seen.push(model.pane);
        model.act(Action::Next);
    }
    assert_eq!((seen, model.pane), (Pane::ALL.to_vec(), Pane::Rules));
    model.act(Action::Previous);
    assert_eq!(model.pane, Pane::Backoff);
}

#[test]
fn a_back_off_that_ends_is_no_longer_listed() {
    let mut model = model();
    model.act(Action::Show(Pane::Backoff));
    assert_eq!(first_cells(&model), ["192.0.2.7/32", "all of google.com,*.google.com"]);
    model.update(Ok(sample(16, Vec::new(), outbound(0, 0))));
    assert_eq!(first_cells(&model), ["192.0.2.7/32"]);
}

#[test]
fn nobody_gets_lost_below_the_last_row() {
    let mut model = model();
    for rows in [1, 10, isize::MAX, isize::MIN, -1] {
        model.act(Action::Move(rows));
        assert!(model.first < model.rows.len(), "{rows}");
    }
    model.act(Action::Move(isize::MAX));
    model.act(Action::Show(Pane::Sources));
    assert_eq!(model.first, 0);
}

#[test]
fn what_cannot_be_read_is_said_and_what_was_read_stays() {
    let mut model = model();
    model.update(Err(anyhow::anyhow!("no")));
    assert_eq!((model.trouble.as_deref(), model.rows.len()), (Some("no"), 3));
    model.update(Ok(sample(5, Vec::new(), outbound(0, 0))));
    assert_eq!(model.trouble, None);
}
