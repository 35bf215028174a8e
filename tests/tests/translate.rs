//! `limiterctl translate`: what it prints, where, and with which exit code. Which rule becomes what is a table of
//! limiter-user's own tests.

use std::io::Write as _;
use std::process::Stdio;

use limiter_tests::daemon::{Machine, Said};
use limiter_tests::net::LinkOptions;
use serde_json::{Value, json};

const CONNLIMIT: &str = "iptables -A INPUT -p tcp --syn --dport 80 -m connlimit --connlimit-above 15 --connlimit-mask 32 \
                         -j REJECT --reject-with tcp-reset";
const GEOIP: &str =
    "iptables -A INPUT -p tcp --syn -m geoip --src-cc CN -m connlimit --connlimit-above 15 -j DROP";

/// What it says to this on its standard input.
fn told(machine: &Machine, arguments: &[&str], lines: &str) -> Said {
    let mut command = machine.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("limiterctl starts");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads everything");
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn a_rule_becomes_a_command_that_attaches() {
    let (machine, _peer) = Machine::with_client(LinkOptions { xdp_tx: false, ..LinkOptions::default() });
    machine.host.ip("route add default dev eth0");
    let said = machine.limiterctl(&["translate", CONNLIMIT]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    let (notes, commands): (Vec<_>, Vec<_>) = said.stdout.lines().partition(|line| line.starts_with("# "));
    assert_eq!(commands, ["limiterctl attach --interface eth0 --port 80 --max-open 15"]);
    assert!(
        notes.contains(&"# the rule is for every interface; the default route leads to eth0"),
        "{said:?}"
    );

    let arguments: Vec<_> = commands[0].split(' ').skip(2).collect();
    let _daemon = machine.attach(&arguments);
    assert_eq!(machine.status()["rules"][0]["max_open"], 15, "{}", machine.status());
}

#[test]
fn a_rule_becomes_a_file_that_check_accepts() {
    let machine = Machine::new("server");
    let files = tempfile::tempdir().expect("a directory to spare");
    let path = files.path().join("limiterctl.toml").display().to_string();
    let translate = ["translate", "--interface", "eth0", "--output", "toml"];
    let said = machine.limiterctl(&[&translate[..], &[CONNLIMIT]].concat());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    assert!(
        said.stdout.contains("\n# resets have a budget") && said.stdout.contains("\n[inbound]\n"),
        "{said:?}"
    );
    std::fs::write(&path, said.stdout).expect("it can be written");
    let said = machine.limiterctl(&["check", &path]);
    let first = "port-80: port 80 on eth0. Each source (IPv4 /32, IPv6 /64) may hold 15 connections open; ";
    assert!(said.code == 0 && said.stdout.starts_with(first), "{said:?}");
    let said = machine.limiterctl(&[&translate[..], &[GEOIP]].concat());
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:?}");
}

#[test]
fn without_a_default_route_the_interface_must_be_said() {
    let machine = Machine::new("server");
    let said = machine.limiterctl(&["translate", CONNLIMIT]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
    let lines: Vec<_> = said.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "limiterctl: the rule names no interface, and this machine has no default route that would tell",
            "  say where it is to hold: limiterctl translate --interface eth0"
        ]
    );
    let said = machine.limiterctl(&["translate", "--interface", "eth0,eth1", CONNLIMIT]);
    assert!(said.code == 0 && said.stdout.contains("attach --interface eth0,eth1 --port 80"), "{said:?}");
}

#[test]
fn what_has_no_equal_is_a_negative_answer_and_nothing_is_printed() {
    let machine = Machine::new("server");
    let said = machine.limiterctl(&["translate", "-i", "eth0", CONNLIMIT, GEOIP]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:?}");
    let lines: Vec<_> = said.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "a line of cause and one of cure: {said:?}");
    assert_eq!(lines[0], "limiterctl: rule 2: '-m geoip' has no equal in limiterctl");
    assert!(lines[1].starts_with("  leave it out"), "{said:?}");
}

#[test]
fn what_is_no_rule_is_a_failure() {
    let machine = Machine::new("server");
    for (arguments, cause) in [
        (
            &["translate", "hello world"][..],
            "rule 1: 'hello world' is neither a rule of iptables nor one of nft",
        ),
        (&["translate", CONNLIMIT, "iptables -A INPUT -p"], "rule 2: nothing follows after '-p'"),
        (&["translate"], "required arguments were not provided"),
    ] {
        let said = machine.limiterctl(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
        assert!(said.stderr.contains(cause), "{said:?}");
    }
}

#[test]
fn programs_read_json() {
    let machine = Machine::new("server");
    let read = |said: &Said| -> Value { serde_json::from_str(&said.stdout).expect("it is JSON") };
    let rate = "iptables -A INPUT -i eth3 -p tcp --syn --dport 80 -m hashlimit --hashlimit-above 900/min --hashlimit-burst 60 \
                --hashlimit-mode srcip --hashlimit-name web -j DROP";
    let said = machine.limiterctl(&["translate", rate, "--output", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let answer = read(&said);
    assert_eq!(
        answer["command"],
        json!([
            "limiterctl",
            "attach",
            "--interface",
            "eth3",
            "--port",
            "80",
            "--rate",
            "900/min burst 60",
            "--action",
            "drop"
        ])
    );
    assert!(answer["notes"].as_array().is_some_and(|notes| !notes.is_empty()), "{said:?}");
    assert_eq!((&answer["refused"], &answer["stays"]), (&json!([]), &json!([])));

    let said = machine.limiterctl(&["translate", "-o", "json", GEOIP]);
    assert_eq!((said.code, said.stderr.as_str()), (1, ""), "{said:?}");
    let answer = read(&said);
    assert_eq!(answer["command"], Value::Null);
    assert_eq!(answer["refused"][0]["reason"], "'-m geoip' has no equal in limiterctl");
}

#[test]
fn rules_come_from_standard_input() {
    let machine = Machine::new("server");
    let lines = format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n{CONNLIMIT}\nCOMMIT\n");
    let said = told(&machine, &["translate", "-i", "eth0", "-"], &lines);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.stdout.ends_with("limiterctl attach --interface eth0 --port 80 --max-open 15\n"),
        "{said:?}"
    );
    assert_eq!(said.stderr, "limiterctl: what limits nothing stays where it is: line 3\n");

    let said = told(&machine, &["translate", "-"], "-A INPUT -i lo -j ACCEPT\n");
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{said:?}");
    assert!(said.stderr.ends_with("limiterctl: no rule limits connections\n"), "{said:?}");
}

#[test]
fn nobody_has_to_be_root_and_nobody_has_to_read_to_the_end() {
    let machine = Machine::new("server");
    let mut command = machine.host.command_in(&machine.sandbox, "setpriv");
    let nobody = ["--inh-caps=-all", "--bounding-set=-all"];
    command.args(nobody).arg(limiter_tests::daemon::binary()).args(["translate", "-i", "eth0", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("setpriv is there");
    // It writes only when it has read everything, and by then nobody listens.
    drop(child.stdout.take());
    child.stdin.take().expect("a pipe").write_all(CONNLIMIT.as_bytes()).expect("it reads everything");
    let said: Said = child.wait_with_output().expect("it ends").into();
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
}
