//! Rules of nft.

use super::{command, notes, refusal, translated};

const RESET: &str = "reject with tcp reset";

#[test]
fn limits_become_flags() {
    for (body, flags) in [
        (
            "tcp dport 80 ct state new add @connlimit { ip saddr ct count over 15 } reject with tcp reset",
            "--port 80 --max-open 15",
        ),
        (
            "tcp dport 80 ct state new add @c { ip saddr & 255.255.255.0 ct count over 15 } drop",
            "--port 80 --max-open 15 --source-prefix 24,64 --action drop",
        ),
        (
            "tcp dport 80 ct state new add @c { ip6 saddr & ffff:ffff:ffff:: ct count over 15 } drop",
            "--port 80 --max-open 15 --source-prefix 32,48 --action drop",
        ),
        (
            "tcp flags syn / fin,syn,rst,ack tcp dport 80 update @d { ip saddr limit rate over 10/second } counter drop",
            "--port 80 --rate '10/s burst 5' --action drop",
        ),
        (
            "tcp dport 80 ct state new add @d { ip saddr timeout 60s limit rate over 10/minute burst 20 packets } drop",
            "--port 80 --rate '10/min burst 20' --action drop",
        ),
        (
            "tcp dport 80 ct state new meter m size 65535 { ip saddr and 255.255.0.0 limit rate over 7/week burst 1 packets } drop",
            "--port 80 --rate '1/day burst 1' --source-prefix 16,64 --action drop",
        ),
        (
            "tcp dport 80 ct state new add @d { ip saddr . tcp dport limit rate over 10/hour } drop",
            "--port 80 --rate '10/hour burst 5' --action drop",
        ),
        (
            "tcp dport 80 ct state new limit rate over 20000/second burst 100 packets drop",
            "--port 80 --total-rate '20000/s burst 100' --action drop",
        ),
        (
            "tcp dport 80 ct state new add @d { tcp dport limit rate over 9/second } drop",
            "--port 80 --total-rate '9/s burst 5' --action drop",
        ),
    ] {
        let rule = format!("nft add rule inet filter input {body}");
        assert_eq!(command(&[&rule]), flags, "{body}");
        // The same without what stands before it, and as one word of a shell.
        assert_eq!(command(&[body]), flags, "{body}");
        assert_eq!(command(&[&format!("sudo nft 'add rule inet filter input {body}'")]), flags, "{body}");
    }
}

#[test]
fn matches_become_flags() {
    for (body, flags) in [
        (
            "tcp dport { 80, 443, 8000-8100 } tcp flags & (fin|syn|rst|ack) == syn",
            "--port 80,443,8000-8100 --max-open 15",
        ),
        ("tcp flags & (fin | syn | rst | ack) == syn", "--port 1-65535 --max-open 15"),
        ("meta l4proto tcp th dport 80 ct state { new }", "--port 80 --max-open 15"),
        ("ip protocol tcp tcp dport 80 tcp flags == syn", "--port 80 --max-open 15"),
        ("iifname \"eth0\" tcp dport 80 ct state new counter packets 3 bytes 180", "--port 80 --max-open 15"),
        ("iif != lo meta nfproto ipv4 tcp dport 80 ct state new", "--port 80 --max-open 15"),
        (
            "ip saddr != { 10.0.0.0/8, 192.0.2.1 } tcp dport 80 ct state new",
            "--port 80 --max-open 15 --allow 10.0.0.0/8,192.0.2.1",
        ),
        (
            "iifname { eth1, eth2 } tcp dport 80 ct state new",
            "limiterctl attach --interface eth1,eth2 --port 80 --max-open 15",
        ),
    ] {
        let rule = format!(
            "insert rule ip f prerouting {body} add @c {{ ip saddr ct count over 15 }} {RESET} comment \"a b\""
        );
        assert_eq!(command(&[&rule]), flags, "{body}");
    }
}

/// What stands behind the chain, and why it has no equal.
const NO_EQUAL: &[(&str, &str)] = &[
    (
        "tcp dport 80 ct count over 15 drop",
        "'ct count' outside of a set counts the connections of all sources together",
    ),
    (
        "tcp dport 80 add @c { ip saddr ct count over 15 } drop",
        "it holds for every packet, and so ends connections that are open; limiterctl never does",
    ),
    (
        "tcp flags syn tcp dport 80 add @c { ip saddr ct count over 15 } drop",
        "'tcp flags syn' is not what begins a connection",
    ),
    (
        "tcp dport 80 ct state new,established add @c { ip saddr ct count over 15 } drop",
        "its states are not NEW alone",
    ),
    ("udp dport 80 add @c { ip saddr ct count over 15 } drop", "'udp' has no equal in limiterctl"),
    (
        "tcp dport != 80 ct state new add @c { ip saddr ct count over 15 } drop",
        "'tcp dport !=' has no equal in limiterctl",
    ),
    (
        "tcp dport @web ct state new add @c { ip saddr ct count over 15 } drop",
        "'tcp dport @web' has no equal in limiterctl",
    ),
    (
        "tcp dport http ct state new add @c { ip saddr ct count over 15 } drop",
        "'http' of 'tcp dport http' is not the number of a port",
    ),
    (
        "ip saddr 10.0.0.0/8 tcp dport 80 ct state new add @c { ip saddr ct count over 15 } drop",
        "it limits some sources only, and attach limits all but those that are allowed",
    ),
    (
        "ip saddr @bad tcp dport 80 ct state new add @c { ip saddr ct count over 15 } drop",
        "'ip saddr @bad' has no equal in limiterctl",
    ),
    (
        "ip daddr 192.0.2.1 tcp dport 80 ct state new add @c { ip saddr ct count over 15 } drop",
        "'ip daddr' has no equal in limiterctl",
    ),
    (
        "tcp dport 80 ct state new add @c { ip daddr ct count over 15 } drop",
        "a set that counts by 'ip daddr' has no equal in limiterctl",
    ),
    ("tcp dport 80 ct state new add @c { ip saddr } drop", "'}' in a set has no equal in limiterctl"),
    (
        "tcp dport 80 ct state new add @c { ip saddr ct count over 15 } reject",
        "reject answers with icmp port-unreachable, which limiterctl does not send",
    ),
    (
        "tcp dport 80 ct state new add @c { ip saddr ct count over 15 } log drop",
        "'log' has no equal in limiterctl",
    ),
    (
        "tcp dport 80 ct state new add @c { ip saddr ct count over 15 } jump web",
        "'jump' has no equal in limiterctl",
    ),
    (
        "tcp dport 80 ct state new add @c { ip saddr ct count over 15 } drop drop",
        "'drop' stands behind the verdict",
    ),
    (
        "tcp dport 80 ct state new add @c { ip saddr ct count over 15 }",
        "what is over its limit is not refused",
    ),
    (
        "tcp dport 80 ct state new add @c { ip saddr ct count 15 } drop",
        "it matches what is within its limit, and accepts nothing of that",
    ),
    (
        "tcp dport 80 ct state new limit rate over 10 mbytes/second drop",
        "'limit rate' limits bytes, and limiterctl new connections",
    ),
    ("tcp dport 80 ct state new limit name x drop", "a limit that is named stands elsewhere"),
    (
        "limit rate over 10/second tcp dport 80 ct state new drop",
        "the limit stands before 'tcp', and so counts what that leaves out",
    ),
    (
        "tcp dport 80-90 ct state new add @d { ip saddr . tcp dport limit rate over 1/second } drop",
        "each of its ports counts by itself, and attach counts all ports together",
    ),
    (
        "tcp dport 80 ct state new add @d { ip saddr limit rate over 1/week } drop",
        "1 in 604800 seconds is less than one a day",
    ),
    ("tcp dport 80 ct state new accept", "it limits nothing"),
];

#[test]
fn what_has_no_equal_is_refused_with_the_reason() {
    for (body, reason) in NO_EQUAL {
        assert_eq!(
            refusal(&[&format!("nft add rule inet f input {body}")]),
            format!("rule 1: {reason}"),
            "{body}"
        );
    }
    let limit = "tcp dport 80 ct state new add @c { ip saddr ct count over 15 } drop";
    for (chain, reason) in [
        ("inet f web", "its chain gets what another rule sends there, which this one does not say"),
        ("inet f forward", "it limits what is forwarded, and attach all that arrives"),
        ("netdev f input", "it is in a table for neither IPv4 nor IPv6"),
    ] {
        assert_eq!(refusal(&[&format!("nft add rule {chain} {limit}")]), format!("rule 1: {reason}"));
    }
}

#[test]
fn what_is_no_rule_is_a_failure() {
    for (text, cause) in [
        ("nft list ruleset", "rule 1: 'list ruleset' is neither a rule of iptables nor one of nft"),
        ("nft add rule inet f", "rule 1: an nft rule without its table and chain"),
        ("nft add rule inet f input tcp dport", "rule 1: nothing follows after 'tcp dport'"),
        (
            "nft add rule ip6 f input ip saddr 10.0.0.1 drop",
            "rule 1: 'ip saddr' in a rule that is for the other IP version",
        ),
        (
            "nft add rule inet f input tcp dport 80 limit rate over 9/fortnight drop",
            "rule 1: 'fortnight' is not a unit of time",
        ),
    ] {
        assert_eq!(translated(&[text]).unwrap_err().cause, cause);
    }
}

#[test]
fn rules_for_both_ip_versions_are_one_command() {
    let [v4, v6] = ["ip saddr", "ip6 saddr & ffff:ffff:ffff:ffff::"].map(|key| {
        format!(
            "nft add rule inet f input tcp dport 80 ct state new add @c {{ {key} ct count over 15 }} drop"
        )
    });
    assert_eq!(command(&[&v4, &v6]), "--port 80 --max-open 15 --action drop");
    assert!(!notes(&[&v4, &v6]).iter().any(|note| note.contains("alone")));
    assert!(notes(&[&v6]).iter().any(|note| note.starts_with("IPv4 is held to it as well")));
}

#[test]
fn a_pair_that_accepts_and_then_refuses_is_one_limit() {
    let pair = ["tcp dport 22 ct state new limit rate 10/minute accept", "tcp dport 22 ct state new drop"];
    assert_eq!(command(&pair), "--port 22 --total-rate '10/min burst 5' --action drop");
}
