//! Who is refused gets a fresh start, and nobody else does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;
use limiter_tests::daemon::{Machine, Said};
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::{Host, LinkOptions, connect_from};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(5);
/// What a refused call gets.
const EDQUOT: i32 = 122;

/// A server with limits of both kinds, and clients on the other side of a wire.
struct Scene {
    server: Machine,
    client: Host,
    cgroup: Cgroup,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = Machine::with_client(LinkOptions::default());
        server.host.add_address("eth0", "10.0.0.1/16");
        server.host.add_address("eth0", "fd00::1/32");
        for address in ["10.0.1.1/16", "10.0.1.2/16", "fd00:0:1::1/32"] {
            client.add_address("eth0", address);
        }
        Self { server, client, cgroup: Cgroup::new() }
    }

    fn says(&self, arguments: &[&str]) -> Said {
        self.server.limiterctl(arguments)
    }

    /// How many of four connections of a source come about.
    fn admitted(&self, source: &str) -> usize {
        let server = if source.contains(':') { "[fd00::1]:80" } else { "10.0.0.1:80" };
        let (source, server) = (source.parse().unwrap(), server.parse::<SocketAddr>().unwrap());
        self.client.run(|| (0..4).filter(|_| connect_from(source, server, PATIENCE).is_ok()).count())
    }
}

#[test]
fn a_source_in_its_back_off_is_served_again_at_once_and_another_is_not() {
    let scene = Scene::new();
    let limits = ["--interface", "eth0", "--port", "80", "--rate", "1/hour burst 2", "--backoff", "1h"];
    let daemon = scene.server.attach(&[&limits[..], &["--max-open", "500"]].concat());
    let _listener = scene.server.host.run(|| TcpListener::bind("[::]:80").unwrap());
    for source in ["10.0.1.1", "10.0.1.2", "fd00:0:1::1"] {
        assert_eq!((scene.admitted(source), scene.admitted(source)), (2, 0), "{source}");
    }
    // No daemon is needed.
    drop(daemon.signal(Signal::SIGKILL));
    for (source, subject) in [("10.0.1.1", "10.0.1.1/32"), ("fd00:0:1::1", "fd00:0:1::/64")] {
        let said = scene.says(&["unblock", source, "--output", "json"]);
        let answer: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
        assert_eq!((&answer["target"], &answer["still"]), (&json!(source), &json!([])), "{answer}");
        let [freed] = &answer["freed"].as_array().unwrap()[..] else { panic!("{answer}") };
        assert_eq!(
            (&freed["subject"], &freed["rule"]),
            (&json!(subject), &json!("command-line")),
            "{answer}"
        );
        let refused = freed["refused_ms"].as_u64().unwrap();
        assert!((3_000_000..=3_600_000).contains(&refused), "{answer}");
        assert_eq!(scene.admitted(source), 2, "{source}: its whole burst, and no more");
    }
    assert_eq!(scene.admitted("10.0.1.2"), 0, "nobody spoke for that one");
    let said = scene.says(&["unblock", "10.0.1.2"]);
    assert!(
        said.stdout.starts_with("limiterctl: 10.0.1.2/32, rule command-line: was refused for "),
        "{said:?}"
    );
    assert_eq!(scene.says(&["unblock", "10.0.1.2"]).code, 1, "its bucket is full");
}

#[test]
fn what_refuses_a_source_all_the_same_is_told() {
    let scene = Scene::new();
    let limits = ["--interface", "eth0", "--port", "80", "--rate", "1/hour burst 9", "--max-open", "2"];
    let _daemon = scene.server.attach(&limits);
    let listener = scene.server.host.run(|| TcpListener::bind("[::]:80").unwrap());
    let (source, server) = ("10.0.1.1".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
    let _open: Vec<_> = scene.client.run(|| {
        (0..2)
            .map(|_| (connect_from(source, server, PATIENCE).unwrap(), listener.accept().unwrap()))
            .collect()
    });
    assert_eq!(scene.says(&["deny", "add", "10.0.1.0/24"]).code, 0);
    let said = scene.says(&["unblock", "10.0.1.1"]);
    assert_eq!(said.code, 0, "{said:?}");
    let [_, open, denied] = said.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{said:?}") };
    assert!(open.contains("rule command-line: it holds 2 connections open, of 2"), "{said:?}");
    assert!(denied.ends_with("limiterctl deny remove 10.0.1.0/24"), "{said:?}");
}

#[test]
fn a_name_in_its_back_off_is_reached_again_at_once_and_another_is_not() {
    let scene = Scene::new();
    let zone = Zone::new();
    let _dns = DnsServer::start(&scene.client, "10.0.1.1:53".parse().unwrap(), &zone);
    let cgroup = scene.cgroup.path().to_str().unwrap();
    let limits = ["--default-rate", "1/hour burst 2", "--backoff", "1h", "--exempt", "10.0.1.1"];
    let _daemon = scene.server.attach(&[&["--cgroup", cgroup][..], &limits].concat());
    let mut client = Client::start(&scene.server.host, &scene.cgroup);
    let mut connect = |to: &str| -> Vec<i32> {
        (0..3).map(|_| client.connect(How::Udp, &format!("{to}:9")).errno).collect()
    };
    for (name, address) in [("google.com", "10.0.2.1"), ("other.test", "10.0.2.2")] {
        zone.set(name, Answer::addresses(300, &[address]));
    }
    let mut resolver = Client::start(&scene.server.host, &scene.cgroup);
    for (name, address) in [("google.com", "10.0.2.1"), ("other.test", "10.0.2.2")] {
        resolver.resolve(name, "10.0.1.1:53");
        assert_eq!(connect(address), [0, 0, EDQUOT], "{name}");
    }
    let said = scene.says(&["unblock", "Google.com"]);
    assert!(said.stdout.starts_with("limiterctl: google.com, rule default: was refused for "), "{said:?}");
    assert_eq!(connect("10.0.2.1"), [0, 0, EDQUOT], "its whole burst, and no more");
    assert_eq!(connect("10.0.2.2"), [EDQUOT; 3], "nobody spoke for that one");
    let said = scene.says(&["unblock", "10.0.2.2"]);
    assert!(said.stdout.starts_with("limiterctl: other.test, rule default: was refused for "), "{said:?}");
    assert_eq!(connect("10.0.2.2"), [0, 0, EDQUOT]);
}

#[test]
fn what_is_no_target_or_not_there() {
    let scene = Scene::new();
    let said = scene.says(&["unblock", "10.0.1.1"]);
    assert_eq!((said.code, said.stderr.lines().count()), (2, 2), "{said:?}");
    assert!(said.stderr.starts_with("limiterctl: nothing is attached\n"), "{said:?}");
    let _daemon = scene.server.attach(&["--interface", "eth0", "--port", "80", "--rate", "1/hour burst 9"]);
    for target in ["10.0.1.0/24", "*.google.com", "a b"] {
        let said = scene.says(&["unblock", target]);
        assert_eq!((said.code, said.stderr.lines().count()), (2, 2), "{target}: {said:?}");
    }
    let said = scene.says(&["unblock", "10.0.1.1"]);
    let nothing = "limiterctl: no bucket is held against 10.0.1.1\n";
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (1, "", nothing));
}

#[test]
fn rules_are_listed_with_all_that_they_say() {
    let scene = Scene::new();
    let said = scene.says(&["list", "rules"]);
    assert_eq!((said.code, said.stderr.as_str()), (1, "limiterctl: nothing is attached\n"));
    let cgroup = scene.cgroup.path().to_str().unwrap();
    let inbound = ["--interface", "eth0", "--port", "80", "--rate", "900/min burst 60", "--max-open", "15"];
    let outbound =
        ["--cgroup", cgroup, "--default-rate", "10/s burst 10, lookups 50/s burst 500", "--backoff", "15s"];
    let daemon = scene.server.attach(&[&inbound[..], &outbound].concat());
    drop(daemon.signal(Signal::SIGKILL));
    let table = scene.says(&["list", "rules"]).stdout;
    for words in [
        "900/minute burst 60 for each /32 and /64",
        "15 open for each /32 and /64",
        "10/second burst 10",
        "lookups 50/second burst 500",
        "back-off 15s",
        "EDQUOT",
    ] {
        assert!(table.contains(words), "{words}:\n{table}");
    }
    let said = scene.says(&["list", "rules", "--output", "json"]);
    let rules: Value = serde_json::from_str(&said.stdout).unwrap();
    let (inbound, outbound) = (&rules["inbound"][0], &rules["outbound"][0]);
    assert_eq!((&inbound["name"], &inbound["max_open"]), (&json!("command-line"), &json!(15)), "{rules}");
    assert_eq!(
        (&outbound["hosts"], &outbound["backoff_ms"]),
        (&json!(["default"]), &json!(15_000)),
        "{rules}"
    );
    assert_eq!((&rules["errno"], &rules["outbound_monitor"]), (&json!("EDQUOT"), &json!(false)), "{rules}");
}
