//! Rules of iptables and ip6tables.

use super::{command, notes, refusal, translated};

/// A rule in chain INPUT, for new connections to port 80.
fn rule(rest: &str) -> String {
    format!("iptables -A INPUT -p tcp --syn --dport 80 {rest}")
}

#[test]
fn the_rule_of_the_manual_is_max_open() {
    let connlimit = "iptables -A INPUT -p tcp --syn --dport 80 -m connlimit --connlimit-above 15 \
                     --connlimit-mask 32 -j REJECT --reject-with tcp-reset";
    assert_eq!(command(&[connlimit]), "--port 80 --max-open 15");
    let notes = notes(&[connlimit]);
    let all = [
        "the rule is for every interface; the default route leads to eth0",
        "IPv6 is held to it as well, each /64 as one source: the rule is for IPv4 alone",
        "what this machine forwards is held to it as well: chain INPUT does not see that",
        "open connections are sockets here, not entries of conntrack: see docs/connlimit.md",
        "resets have a budget, beyond which there is silence: see --reset-rate",
    ];
    assert_eq!(notes, all);
}

#[test]
fn limits_become_flags() {
    for (rest, flags) in [
        (
            "-m connlimit --connlimit-above 15 --connlimit-mask 24 -j DROP",
            "--max-open 15 --source-prefix 24,64 --action drop",
        ),
        ("-m connlimit --connlimit-above 15 --connlimit-saddr -j DROP", "--max-open 15 --action drop"),
        (
            "-m hashlimit --hashlimit-above 900/min --hashlimit-burst 60 --hashlimit-mode srcip --hashlimit-name web \
             -j REJECT --reject-with tcp-reset",
            "--rate '900/min burst 60'",
        ),
        (
            "-m hashlimit --hashlimit-above 3/h --hashlimit-mode srcip --hashlimit-name x -j DROP",
            "--rate '3/hour burst 5' --action drop",
        ),
        (
            "-m hashlimit --hashlimit-above 7/day --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name x -j DROP",
            "--rate '7/day burst 1' --action drop",
        ),
        (
            "-m hashlimit --hashlimit-above 15 --hashlimit-mode srcip --hashlimit-name x -j DROP",
            "--rate '15/s burst 5' --action drop",
        ),
        (
            "-m hashlimit --hashlimit-above 15/sec --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name x -j DROP",
            "--rate '15/s burst 5' --source-prefix 24,64 --action drop",
        ),
        // One port by itself is no other than all ports together.
        (
            "-m hashlimit --hashlimit-above 15/s --hashlimit-mode srcip,dstport --hashlimit-name x -j DROP",
            "--rate '15/s burst 5' --action drop",
        ),
        // Without a mode, hashlimit counts everybody together.
        (
            "-m hashlimit --hashlimit-above 15/s --hashlimit-name x -j DROP",
            "--total-rate '15/s burst 5' --action drop",
        ),
        (
            "-m comment --comment 'not -j ACCEPT' -m connlimit --connlimit-above=15 -j DROP",
            "--max-open 15 --action drop",
        ),
    ] {
        assert_eq!(command(&[&rule(rest)]), format!("--port 80 {flags}"), "{rest}");
    }
}

#[test]
fn matches_become_flags() {
    for (text, flags) in [
        (
            "sudo iptables -w 5 -I INPUT 1 -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN",
            "--port 80 --max-open 15",
        ),
        (
            "/usr/sbin/iptables-nft -t raw -A PREROUTING --protocol TCP --destination-port 80:90 --syn",
            "--port 80-90 --max-open 15",
        ),
        (
            "-A INPUT -p 6 -m tcp --tcp-flags SYN,ACK,FIN,RST SYN -m multiport --dports 443,80,81:90,8000:",
            "--port 80-90,443,8000-65535 --max-open 15",
        ),
        ("iptables -A INPUT -p tcp --syn", "--port 1-65535 --max-open 15"),
        ("iptables -A INPUT -p tcp --dport :1024 -m state --state NEW", "--port 1-1024 --max-open 15"),
        ("iptables -A INPUT -p tcp --dport 80 -m conntrack --ctstate NEW ! -i lo", "--port 80 --max-open 15"),
        (
            "iptables -A INPUT -i eth0 ! -s 10.1.2.3/255.0.0.0 -p tcp --syn --dport 80",
            "--port 80 --max-open 15 --allow 10.0.0.0/8",
        ),
        (
            "iptables -A INPUT -i eth7 -p tcp --syn --dport 80",
            "limiterctl attach --interface eth7 --port 80 --max-open 15",
        ),
        (
            "ip6tables -A INPUT ! -s 2001:db8::/32 -p tcp --syn --dport 80",
            "--port 80 --max-open 15 --source-prefix 32,128 --allow 2001:db8::/32",
        ),
    ] {
        let text = format!("{text} -m connlimit --connlimit-above 15 -j REJECT --reject-with tcp-reset");
        // Table raw has no REJECT.
        let text =
            if text.contains("raw") { text.replace("REJECT --reject-with tcp-reset", "DROP") } else { text };
        let flags = if text.contains("raw") { format!("{flags} --action drop") } else { flags.into() };
        assert_eq!(command(&[&text]), flags, "{text}");
    }
}

/// What stands behind the chain, and why it has no equal.
const NO_EQUAL: &[(&str, &str)] = &[
    (
        "-p tcp --dport 80 -m connlimit --connlimit-above 15 -j DROP",
        "it holds for every packet, and so ends connections that are open; limiterctl never does",
    ),
    (
        "-p tcp ! --syn --dport 80 -m connlimit --connlimit-above 15 -j DROP",
        "it limits what begins no connection",
    ),
    (
        "-p tcp --tcp-flags SYN SYN --dport 80 -m connlimit --connlimit-above 15 -j DROP",
        "'--tcp-flags SYN SYN' is not what begins a connection",
    ),
    (
        "-p tcp --dport 80 -m conntrack --ctstate NEW,ESTABLISHED -m connlimit --connlimit-above 15 -j DROP",
        "its states are not NEW alone",
    ),
    (
        "-m connlimit --connlimit-above 15 -j DROP",
        "it is not for TCP alone, and limiterctl limits TCP connections alone",
    ),
    (
        "-p udp -m connlimit --connlimit-above 15 -j DROP",
        "it is not for TCP alone, and limiterctl limits TCP connections alone",
    ),
    (
        "-p tcp --syn --dport http -m connlimit --connlimit-above 15 -j DROP",
        "'http' of '--dport http' is not the number of a port",
    ),
    (
        "-p tcp --syn ! --dport 80 -m connlimit --connlimit-above 15 -j DROP",
        "'! --dport' has no equal in limiterctl",
    ),
    (
        "-p tcp --syn --sport 80 -m connlimit --connlimit-above 15 -j DROP",
        "'--sport' has no equal in limiterctl",
    ),
    (
        "-p tcp --syn -d 192.0.2.1 -m connlimit --connlimit-above 15 -j DROP",
        "'-d' has no equal in limiterctl",
    ),
    (
        "-p tcp --syn -s 192.0.2.1 -m connlimit --connlimit-above 15 -j DROP",
        "it limits some sources only, and attach limits all but those that are allowed",
    ),
    ("-p tcp --syn -i eth+ -m connlimit --connlimit-above 15 -j DROP", "'-i eth+' is no list of interfaces"),
    (
        "-p tcp --syn -m geoip --src-cc CN -m connlimit --connlimit-above 15 -j DROP",
        "'-m geoip' has no equal in limiterctl",
    ),
    (
        "-p tcp --syn -m connlimit --connlimit-above 15 --connlimit-daddr -j DROP",
        "'--connlimit-daddr' counts by destination, which limiterctl does not do inbound",
    ),
    (
        "-p tcp --syn -m connlimit --connlimit-above 15 --connlimit-mask 0 -j DROP",
        "'--connlimit-mask 0' makes one source of everybody",
    ),
    ("-p tcp --syn -m connlimit --connlimit-above 0 -j DROP", "it lets nothing pass"),
    (
        "-p tcp --syn -m connlimit ! --connlimit-above 15 -j DROP",
        "'! --connlimit-above' has no equal in limiterctl",
    ),
    (
        "-p tcp --syn -m connlimit --connlimit-upto 15 -j ACCEPT",
        "it accepts what is within its limit, and no rule behind it refuses the rest",
    ),
    (
        "-p tcp --syn -m connlimit --connlimit-upto 15 -j DROP",
        "it matches what is within its limit, and accepts nothing of that",
    ),
    ("-p tcp --syn -m connlimit --connlimit-above 15 -j ACCEPT", "what is over its limit is not refused"),
    ("-p tcp --syn -m connlimit --connlimit-above 15", "what is over its limit is not refused"),
    (
        "-p tcp --syn -m connlimit --connlimit-above 15 -j LOG --log-prefix x",
        "what is over the limit is logged, and limiterctl writes no log",
    ),
    ("-p tcp --syn -m connlimit --connlimit-above 15 -j TARPIT", "'-j TARPIT' has no equal in limiterctl"),
    (
        "-p tcp --syn -m connlimit --connlimit-above 15 -j REJECT",
        "REJECT answers with an ICMP message, its default, which limiterctl does not send",
    ),
    (
        "-p tcp --syn -m connlimit --connlimit-above 15 -j REJECT --reject-with icmp-host-prohibited",
        "REJECT answers with icmp-host-prohibited, which limiterctl does not send",
    ),
    (
        "-p tcp -m connlimit --connlimit-above 15 --syn --dport 80 -j DROP",
        "'-m connlimit' stands before '-m tcp', and so counts what that leaves out",
    ),
    (
        "-p tcp --syn --dport 80 -m limit --limit 5/s -m connlimit --connlimit-above 15 -j DROP",
        "'-m limit' and '-m connlimit' hold only together",
    ),
    (
        "-p tcp --syn -m hashlimit --hashlimit-above 512kb/s --hashlimit-mode srcip --hashlimit-name x -j DROP",
        "'--hashlimit-above 512kb/s' limits bytes, and limiterctl new connections",
    ),
    (
        "-p tcp --syn -m hashlimit --hashlimit-above 5/s --hashlimit-mode dstip --hashlimit-name x -j DROP",
        "'--hashlimit-mode dstip' has no equal in limiterctl",
    ),
    (
        "-p tcp --syn -m hashlimit --hashlimit-above 5/s --hashlimit-mode srcip,dstport --hashlimit-name x -j DROP",
        "each of its ports counts by itself, and attach counts all ports together",
    ),
    (
        "-p tcp --syn -m hashlimit --hashlimit-above 5/s --hashlimit-rate-match --hashlimit-name x -j DROP",
        "'--hashlimit-rate-match' has no equal in limiterctl",
    ),
    (
        "-p tcp --syn -m hashlimit --hashlimit-above 1/day --hashlimit-mode srcip --hashlimit-name x -j DROP",
        "--rate: '1/day burst 5' takes too long to recover",
    ),
    (
        "-p tcp --syn --dport 80 --dport 81 -m connlimit --connlimit-above 15 -j DROP",
        "'--dport' is said twice",
    ),
    ("-j ACCEPT", "it limits nothing"),
    ("-p tcp --dport 80 -j DROP", "it limits nothing"),
];

#[test]
fn what_has_no_equal_is_refused_with_the_reason() {
    for (text, reason) in NO_EQUAL {
        let reason = reason.replace("--rate: ", "");
        assert_eq!(refusal(&[&format!("iptables -A INPUT {text}")]), format!("rule 1: {reason}"), "{text}");
    }
}

#[test]
fn chains_that_others_lead_to_are_refused() {
    let limit = "-p tcp --syn --dport 80 -m connlimit --connlimit-above 15 -j DROP";
    for (command, reason) in [
        ("-A FORWARD", "it limits what is forwarded, and attach all that arrives"),
        ("-A OUTPUT", "it limits what leaves, which has no equal by address and port"),
        ("-A WEB", "its chain gets what another rule sends there, which this one does not say"),
        ("-D INPUT", "'-D' adds no rule"),
        ("-t raw -A PREROUTING -j REJECT", "'-j' is said twice"),
    ] {
        assert_eq!(refusal(&[&format!("iptables {command} {limit}")]), format!("rule 1: {reason}"));
    }
    let reject = "iptables -t raw -A PREROUTING -p tcp --syn -m connlimit --connlimit-above 9 -j REJECT";
    assert_eq!(refusal(&[reject]), "rule 1: iptables has no REJECT in table raw");
}

#[test]
fn what_is_no_rule_is_a_failure() {
    for (text, cause) in [
        ("hello world", "rule 1: 'hello world' is neither a rule of iptables nor one of nft"),
        ("", "rule 1: '' is neither a rule of iptables nor one of nft"),
        ("iptables -A INPUT -p tcp --dport", "rule 1: nothing follows after '--dport'"),
        (
            "iptables -A INPUT -p tcp -m multiport --dports 80,90:85",
            "rule 1: '90:85' of '--dports' ends before it begins",
        ),
        (
            "iptables -A INPUT -p tcp -m comment --comment 'x",
            "rule 1: a quote does not end: -A INPUT -p tcp -m comment --comment 'x",
        ),
        (
            "iptables -A INPUT -p tcp --syn -m connlimit --connlimit-above x -j DROP",
            "rule 1: --connlimit-above 'x' is not a number",
        ),
        (
            "iptables -A INPUT -p tcp --syn -m connlimit -j DROP",
            "rule 1: '-m connlimit' without --connlimit-above limits nothing",
        ),
        (
            "iptables -A INPUT -m limit --limit 5/fortnight -j DROP",
            "rule 1: 'fortnight' of '--limit 5/fortnight' is not a unit of time",
        ),
    ] {
        assert_eq!(translated(&[text]).unwrap_err().cause, cause);
    }
}

#[test]
fn rules_about_the_same_ports_are_one_command() {
    let open = rule("-m connlimit --connlimit-above 15 -j DROP");
    let rate =
        rule("-m hashlimit --hashlimit-above 900/min --hashlimit-mode srcip --hashlimit-name x -j DROP");
    let [accept, drop] = ["-m limit --limit 20000/s --limit-burst 100 -j ACCEPT", "-j DROP"].map(rule);
    assert_eq!(command(&[&open, &rate]), "--port 80 --rate '900/min burst 5' --max-open 15 --action drop");
    assert_eq!(command(&[&rate, &open]), command(&[&open, &rate]));
    assert_eq!(
        command(&[&open, &rate, &accept, &drop]),
        "--port 80 --rate '900/min burst 5' --total-rate '20000/s burst 100' --max-open 15 --action drop"
    );
    let v6 = open.replace("iptables", "ip6tables").replace("-j", "--connlimit-mask 64 -j");
    assert_eq!(command(&[&open, &v6]), "--port 80 --max-open 15 --action drop");
    assert!(!notes(&[&open, &v6]).iter().any(|note| note.contains("alone")));
    assert_eq!(
        command(&[&open, &v6.replace("64", "56")]),
        "--port 80 --max-open 15 --source-prefix 32,56 --action drop"
    );
}

#[test]
fn rules_that_one_command_cannot_hold_are_refused() {
    let open = rule("-m connlimit --connlimit-above 15 -j DROP");
    for (other, reason) in [
        (
            open.replace("80", "443"),
            "it is for other ports (443): one attach holds one rule, and one runs at a time",
        ),
        (
            open.replace("DROP", "REJECT --reject-with tcp-reset"),
            "it refuses in another way, and attach has one --action",
        ),
        (open.replace("15", "20"), "it is a second limit of the same kind"),
        (
            open.replace("-p tcp", "! -s 10.0.0.0/8 -p tcp"),
            "others are exempt from it, and attach has one --allow",
        ),
        (open.replace("-p tcp", "-i eth0 -p tcp"), "it is for another interface"),
        (
            open.replace("iptables", "ip6tables").replace("15", "16"),
            "it differs, and attach has one limit for both IP versions",
        ),
        (
            rule(
                "-m hashlimit --hashlimit-above 9/s --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name x -j DROP",
            ),
            "its sources have 24 bits, not 32, and attach has one --source-prefix",
        ),
    ] {
        assert_eq!(refusal(&[&open, &other]), format!("rule 2: beside rule 1, {reason}"));
    }
}

#[test]
fn a_rule_that_accepts_before_a_limit_is_not_passed_over() {
    let limit = rule("-m connlimit --connlimit-above 15 -j DROP");
    let allow = "iptables -A INPUT -s 192.0.2.0/24,198.51.100.7 -p tcp --dport 1:1024 -j ACCEPT";
    let flags = "--port 80 --max-open 15 --action drop --allow 192.0.2.0/24,198.51.100.7";
    assert_eq!(command(&[allow, &limit]), flags);
    // Inserted later, it stands first all the same.
    let inserted = allow.replace("-A INPUT", "-I INPUT");
    assert_eq!(command(&[&limit, &inserted]), flags);
    // Behind the limit it changes nothing.
    assert_eq!(refusal(&[&limit, allow]), "rule 2: it limits nothing");
    for before in [
        "-p tcp --dport 80 -j ACCEPT",
        "-m geoip --src-cc CN -j ACCEPT",
        "-j OTHER",
        "-s 10.0.0.0/8 -p tcp --sport 1 -j ACCEPT",
    ] {
        let reason = refusal(&[&format!("iptables -A INPUT {before}"), &limit]);
        assert!(reason.starts_with("rule 1: "), "{before}: {reason}");
        let both = translated(&[&format!("iptables -A INPUT {before}"), &limit]).unwrap();
        assert_eq!(
            both.refused[1].reason, "rule 1 stands before it and may accept what it limits",
            "{before}"
        );
    }
}

#[test]
fn a_pair_that_accepts_and_then_refuses_is_one_limit() {
    let drop = rule("-j DROP");
    for (accepting, flags) in [
        ("-m connlimit --connlimit-upto 15 -j ACCEPT", "--max-open 15"),
        (
            "-m hashlimit --hashlimit-upto 5/min --hashlimit-mode srcip --hashlimit-name x -j ACCEPT",
            "--rate '5/min burst 5'",
        ),
        ("-m limit --limit 5/min --limit-burst 9 -j ACCEPT", "--total-rate '5/min burst 9'"),
        // What iptables takes where nothing is said.
        ("-m limit -j ACCEPT", "--total-rate '3/hour burst 5'"),
    ] {
        let accepting = rule(accepting);
        assert_eq!(command(&[&accepting, &drop]), format!("--port 80 {flags} --action drop"));
        assert!(notes(&[&accepting, &drop]).iter().any(|note| note.starts_with("the pair also accepts")));
        let wider = "iptables -A INPUT -p tcp --dport 80 -j DROP";
        assert!(refusal(&[&accepting, wider]).contains("no rule behind it refuses the rest"));
    }
}

#[test]
fn a_hash_table_that_forgets_too_soon_is_noted() {
    let rate = "-m hashlimit --hashlimit-above 1/min --hashlimit-mode srcip --hashlimit-name x --hashlimit-htable-expire";
    let forgetful = notes(&[&rule(&format!("{rate} 10000 -j DROP"))]);
    assert!(
        forgetful.contains(
            &"hashlimit forgets a source after 10000 ms; here its burst comes back in 300000 ms".into()
        ),
        "{forgetful:?}"
    );
    assert!(!notes(&[&rule(&format!("{rate} 300000 -j DROP"))]).iter().any(|note| note.contains("forgets")));
}
