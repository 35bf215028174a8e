//! Events: who was refused and what has changed, from the kernel to who follows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use limiter_common::maps;
use limiter_common::report::{LOST, REPORTED};
use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;
use limiter_tests::control::{ask, connect};
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use limiter_user::bpf::Pins;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const FILE: &str =
    "[[inbound.rule]]\nname = \"web\"\nports = [80]\nrate = \"1/hour burst 3\"\naction = \"drop\"\n";

struct Scene {
    server: Machine,
    client: Host,
    files: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = (Machine::new("server"), Host::new("client"));
        link(&client, "eth0", &server.host, "eth0", LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        Self { server, client, files: tempfile::tempdir().unwrap() }
    }

    fn attach(&self, text: &str) -> Daemon {
        let file = self.files.path().join("limiterctl.toml");
        let text = format!("[inbound]\ninterfaces = [\"eth0\"]\n{text}");
        fs::write(&file, text).unwrap();
        self.server.attach(&["--config", file.to_str().unwrap()])
    }

    fn send_syns(&self, count: usize, source: &str) {
        let frame = Frame::ipv4(source, "192.0.2.1").tcp(40_000, 80).syn().build();
        let sender = Sender::open(&self.client, "eth0");
        (0..count).for_each(|_| sender.send(&frame));
    }

    fn refused(&self) -> u64 {
        self.server.status()["rules"][0]["refused"]["rate"].as_u64().unwrap()
    }

    #[track_caller]
    fn wait_until_refused(&self, count: u64) {
        for _ in 0..1000 {
            if self.refused() >= count {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{count} were never refused, but {}", self.refused());
    }

    /// Sends SYNs of a source until the daemon has told of one; another source's in the same tick may have hidden it.
    #[track_caller]
    fn refusal(&self, source: &str) -> Value {
        for _ in 0..300 {
            self.send_syns(4, source);
            let events = events(&self.server, "refusal");
            if let Some(event) = events.iter().find(|event| event["address"] == source) {
                return event.clone();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{source} was never told of: {:?}", events(&self.server, "refusal"));
    }
}

/// What is kept, of one kind.
#[track_caller]
fn events(machine: &Machine, kind: &str) -> Vec<Value> {
    let said = machine.limiterctl(&["events", "--kind", kind, "--output", "json"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `limiterctl events --follow`, as it goes on.
struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    fn start(machine: &Machine) -> Self {
        let mut command = machine.command(&["events", "--follow", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { lines: BufReader::new(child.stdout.take().unwrap()), child }
    }

    /// Reads on until there is such an event. A test that waits in vain is ended from outside.
    #[track_caller]
    fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended");
            let event: Value = serde_json::from_str(&line).unwrap();
            if is_it(&event) {
                return event;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_refused_source_is_told_of_with_its_rule_and_reason() {
    let scene = Scene::new();
    let _daemon = scene.attach(FILE);
    let mut event = scene.refusal("198.51.100.7");
    let retry = event["retry_after_ms"].take().as_u64().unwrap();
    assert!((1..=3_600_000).contains(&retry), "{retry}");
    assert!(event["time"].take().as_str().unwrap().ends_with('Z'));
    assert_eq!(
        event,
        json!({"time": null, "kind": "refusal", "direction": "inbound", "rule": "web", "reason": "rate",
            "address": "198.51.100.7", "port": 80, "source": "198.51.100.7/32", "host": null, "monitor": false,
            "retry_after_ms": null})
    );
    let states = events(&scene.server, "state");
    assert_eq!(
        (&states[0]["state"], &states[0]["text"]),
        (&json!("attached"), &json!("the limits hold on eth0"))
    );
    let said = scene.server.limiterctl(&["events"]);
    assert!(
        said.stdout.contains("from 198.51.100.7 to port 80: refused by rate of rule web; try again in"),
        "{said:?}"
    );
}

#[test]
fn what_is_only_counted_is_told_of_as_such() {
    let scene = Scene::new();
    let _daemon = scene.attach(&FILE.replace("action", "monitor = true\naction"));
    assert_eq!(scene.refusal("198.51.100.7")["monitor"], true);
}

/// Of each datagram a line for each field; numbers of bytes stand between, and are of no interest.
#[test]
fn under_systemd_refusals_are_in_the_journal_with_fields_to_look_for() {
    const JOURNAL: &str = "/run/systemd/journal/socket";
    let scene = Scene::new();
    let journal = scene.server.sandbox.run(|| {
        fs::create_dir_all("/run/systemd/journal").unwrap();
        UnixDatagram::bind(JOURNAL).unwrap()
    });
    journal.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut daemon = scene
        .server
        .command(&[
            "attach",
            "--interface",
            "eth0",
            "--port",
            "80",
            "--rate",
            "1/hour burst 3",
            "--action",
            "drop",
        ])
        .env("JOURNAL_STREAM", "8:1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut datagram = [0; 4096];
    let entry = (0..300).find_map(|_| {
        scene.send_syns(4, "198.51.100.7");
        // Nothing is in the first one, by which it is tried whether anybody listens.
        let length = journal.recv(&mut datagram).ok().filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(&datagram[..length]).into_owned())
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let entry = entry.expect("the journal heard nothing");
    for (field, value) in [
        ("SYSLOG_IDENTIFIER", "limiterctl"),
        ("MESSAGE", "from 198.51.100.7 to port 80: refused by rate of rule command-line; try again in"),
        ("LIMITERCTL_KIND", "refusal"),
        ("LIMITERCTL_DIRECTION", "inbound"),
        ("LIMITERCTL_RULE", "command-line"),
        ("LIMITERCTL_REASON", "rate"),
        ("LIMITERCTL_ADDRESS", "198.51.100.7"),
        ("LIMITERCTL_PORT", "80"),
        ("LIMITERCTL_SOURCE", "198.51.100.7/32"),
    ] {
        let begins =
            entry.lines().position(|line| line == field).unwrap_or_else(|| panic!("{field}: {entry:?}"));
        let text = entry.lines().skip(begins + 1).collect::<Vec<_>>().join("\n");
        assert!(
            text.trim_start_matches(|c: char| c.is_control() || c == '\u{fffd}').contains(value),
            "{field}: {entry:?}"
        );
    }
}

#[test]
fn a_burst_is_told_of_once_a_second() {
    let scene = Scene::new();
    let _daemon = scene.attach(FILE);
    let begun = Instant::now();
    scene.send_syns(10_003, "198.51.100.7");
    scene.wait_until_refused(10_000);
    scene.refusal("198.51.100.7");
    let told = events(&scene.server, "refusal").len() as u64;
    assert!((1..=begun.elapsed().as_secs() + 1).contains(&told), "{told} in {:?}", begun.elapsed());
}

/// Nobody reads: what finds no room is counted, and verdicts are what they are.
#[test]
fn without_a_daemon_reports_are_lost_and_limits_hold() {
    const SOURCES: u32 = 65_536;
    let scene = Scene::new();
    drop(scene.attach(FILE).signal(Signal::SIGKILL));
    let sender = Sender::open(&scene.client, "eth0");
    let mut sent = 0;
    let counted = |index: u32| {
        scene.server.sandbox.run(|| {
            let data = Pins::locate().map(maps::REPORTS_COUNTED).unwrap();
            let map: Array<MapData, u64> = Map::Array(data).try_into().unwrap();
            map.get(&index, 0).unwrap()
        })
    };
    for round in 0..60 {
        for source in 0..SOURCES {
            let [_, _, c, d] = source.to_be_bytes();
            let source = format!("10.{round}.{c}.{d}");
            let frame = Frame::ipv4(&source, "192.0.2.1").tcp(40_000, 80).syn().build();
            (0..4).for_each(|_| sender.send(&frame));
            sent += 1;
            if sent % 1024 == 0 && counted(LOST) > 0 {
                scene.wait_until_refused(sent * 9 / 10);
                assert!(counted(REPORTED) >= 4096, "{} were reported before", counted(REPORTED));
                let _daemon = scene.attach(FILE);
                while events(&scene.server, "refusal").len() < 1000 {
                    // What was reported before is read; a test that waits in vain is ended from outside.
                    thread::sleep(Duration::from_millis(10));
                }
                return;
            }
        }
    }
    panic!("{} reported, none lost", counted(REPORTED));
}

#[test]
fn followers_stay_over_a_reload_and_end_with_the_daemon() {
    let scene = Scene::new();
    let daemon = scene.attach(FILE);
    let mut follower = Follower::start(&scene.server);
    follower.wait_for(|event| event["state"] == "attached");
    let text = FILE.replace("burst 3", "burst 4");
    fs::write(
        scene.files.path().join("limiterctl.toml"),
        format!("[inbound]\ninterfaces = [\"eth0\"]\n{text}"),
    )
    .unwrap();
    assert_eq!(scene.server.limiterctl(&["reload"]).code, 0);
    let reloaded = follower.wait_for(|event| event["state"] == "reloaded");
    assert!(reloaded["text"].as_str().unwrap().contains("burst 4"), "{reloaded}");
    // What was tried at the reload may have been reported in the same tick.
    for _ in 0..3 {
        scene.send_syns(5, "198.51.100.8");
        thread::sleep(Duration::from_millis(50));
    }
    follower.wait_for(|event| event["address"] == "198.51.100.8");
    let _ = daemon.signal(Signal::SIGTERM);
    follower.wait_for(|event| event["state"] == "ending");
    assert_eq!(follower.child.wait().unwrap().code(), Some(2));
    let mut stderr = String::new();
    follower.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.starts_with("limiterctl: the daemon has ended\n"), "{stderr}");
    let said = scene.server.limiterctl(&["events"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.starts_with("limiterctl: no daemon runs"), "{said:?}");
}

#[test]
fn an_interrupt_ends_who_follows_and_a_closed_pipe_is_silent() {
    let scene = Scene::new();
    let _daemon = scene.attach(FILE);
    let mut follower = Follower::start(&scene.server);
    follower.wait_for(|event| event["state"] == "attached");
    kill(Pid::from_raw(follower.child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));

    let mut child = {
        let mut command = scene.server.command(&["events", "--follow"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}

/// One that asks and does not read, as many as may; the daemon goes on.
#[test]
fn eight_may_follow_and_slow_ones_hold_nobody_up() {
    let scene = Scene::new();
    let _daemon = scene.attach(FILE);
    let follow = || {
        let mut stream = connect(&scene.server);
        stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        (stream, String::from_utf8(begin.to_vec()).unwrap())
    };
    let slow: Vec<(UnixStream, String)> = (0..8).map(|_| follow()).collect();
    assert!(slow.iter().all(|(_, begin)| begin == "HTTP/1.1 200"));
    let (code, problem) = ask(&scene.server, "GET", "/v1/events?follow=true", None);
    assert_eq!((code, &problem["cause"]), (503, &json!("as many follow events as may, which is 8")));
    assert!(problem["cure"].is_string());
    assert_eq!(scene.refusal("198.51.100.9")["rule"], "web");
    assert_eq!(ask(&scene.server, "GET", "/v1/events?what=ever", None).0, 400);
    drop(slow);
    for _ in 0..1000 {
        if follow().1 == "HTTP/1.1 200" {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("their places were never free again");
}

#[test]
fn a_refused_connection_is_told_of_with_its_name() {
    let (machine, world) = (Machine::new("machine"), Host::new("world"));
    link(&machine.host, "eth0", &world, "eth0", LinkOptions { xdp_tx: false, ..LinkOptions::default() });
    machine.host.add_address("eth0", "10.0.0.1/24");
    world.add_address("eth0", "10.0.0.53/24");
    machine.host.add_route("10.0.0.0/8", "via 10.0.0.53");
    world.ip("route add local 10.0.1.0/24 dev lo");
    let zone = Zone::new();
    let _server = DnsServer::start(&world, "10.0.0.53:53".parse().unwrap(), &zone);
    zone.set("a.test", Answer::addresses(300, &["10.0.1.7"]));
    let cgroup = Cgroup::new();
    let path = cgroup.path().to_str().unwrap();
    let _daemon = machine.attach(&[
        "--cgroup",
        path,
        "--exempt",
        "10.0.0.53",
        "--host",
        "*.test = 1/hour burst 1",
        "--default-rate",
        "1/hour burst 1",
    ]);
    let mut client = Client::start(&machine.host, &cgroup);
    client.resolve("a.test", "10.0.0.53:53");
    for _ in 0..3 {
        client.connect(How::Tcp, "10.0.1.7:443");
        client.connect(How::Tcp, "10.0.1.8:443");
    }
    let mut told = Vec::new();
    for _ in 0..1000 {
        told = events(&machine, "refusal");
        if told.len() >= 2 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let of = |address: &str| {
        told.iter().find(|event| event["address"] == address).unwrap_or_else(|| panic!("{told:?}"))
    };
    let (named, bare) = (of("10.0.1.7"), of("10.0.1.8"));
    for (event, rule, host) in [(named, "*.test", json!("a.test")), (bare, "default", Value::Null)] {
        assert_eq!(
            (&event["direction"], &event["rule"], &event["reason"], &event["host"], &event["port"]),
            (&json!("outbound"), &json!(rule), &json!("rate"), &host, &json!(443)),
            "{event}"
        );
        assert!(event["retry_after_ms"].as_u64().unwrap() > 0, "{event}");
    }
}
