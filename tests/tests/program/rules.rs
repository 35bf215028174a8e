//! Each rule by itself, and what makes a source of it.

use std::time::Duration;

use limiter_common::rule::Action;
use limiter_tests::packet::Frame;
use limiter_tests::program::{Program, XdpVerdict};
use limiter_user::bpf::Tables;
use limiter_user::config::prefix::SourcePrefix;
use limiter_user::policy::{InboundRule, Policy};

#[test]
fn two_hundred_and_fifty_five_rules_each_count_their_own() {
    let rules = (1..=255u16).map(|number| InboundRule {
        name: format!("rule {number}"),
        ports: format!("{},{}-{}", number, 1000 + number * 100, 1000 + number * 100 + 49)
            .parse()
            .expect("ports"),
        rate: Some("1/h burst 1".parse().expect("a rate")),
        total_rate: None,
        strangers_rate: None,
        charge: limiter_common::rule::Charge::Syn,
        max_open: None,
        backoff: Duration::ZERO,
        source_prefix: SourcePrefix::default(),
        action: Action::Drop,
        monitor: false,
    });
    let mut program = Program::with(&Policy { rules: rules.collect(), ..Policy::default() });
    let syn = |port| Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(1, port).syn().build();
    for number in 1..=255u16 {
        // One source, one bucket a rule: the first port's SYN passes, then all ports of that rule are closed.
        let ports = [number, 1000 + number * 100, 1000 + number * 100 + 49];
        let verdicts = ports.map(|port| program.run(&syn(port)).verdict);
        assert_eq!(verdicts, [XdpVerdict::Pass, XdpVerdict::Drop, XdpVerdict::Drop], "rule {number}");
        assert_eq!(program.run(&syn(1000 + number * 100 + 50)).verdict, XdpVerdict::Pass, "a port between");
    }
    let tables = Tables::of(program.programs()).expect("the maps are there");
    for number in 1..=255 {
        let rule = tables.rule(number).expect("the counters can be read");
        assert_eq!((rule.passed, rule.refused[0], rule.sources), (1, 2, 1), "rule {number}");
    }
}

/// Prefixes are real: neighbours share a bucket, and their neighbours do not.
#[test]
fn a_source_is_its_prefix() {
    let mut program = Program::with(&Policy {
        rules: vec![InboundRule {
            name: "prefixes".into(),
            ports: "80".parse().expect("a port"),
            rate: Some("1/h burst 1".parse().expect("a rate")),
            total_rate: None,
            strangers_rate: None,
            charge: limiter_common::rule::Charge::Syn,
            max_open: None,
            backoff: Duration::ZERO,
            source_prefix: SourcePrefix { v4: 20, v6: 61 },
            action: Action::Drop,
            monitor: false,
        }],
        ..Policy::default()
    });
    let mut verdict = |frame: Frame| program.run(&frame.tcp(1, 80).syn().build()).verdict;
    for (first, neighbour, stranger) in
        [("10.1.16.0", "10.1.31.255", "10.1.32.0"), ("10.2.0.1", "10.2.15.1", "10.2.16.1")]
    {
        let mut from = |source| verdict(Frame::ipv4(source, "192.0.2.1"));
        assert_eq!(
            [from(first), from(neighbour), from(stranger)],
            [XdpVerdict::Pass, XdpVerdict::Drop, XdpVerdict::Pass]
        );
    }
    let mut from = |source| verdict(Frame::ipv6(source, "2001:db8::1"));
    let verdicts =
        [from("2001:db8:0:8::1"), from("2001:db8:0:f::1"), from("2001:db8:0:10::1"), from("2001:db8:0:7::1")];
    assert_eq!(verdicts, [XdpVerdict::Pass, XdpVerdict::Drop, XdpVerdict::Pass, XdpVerdict::Pass]);
}
