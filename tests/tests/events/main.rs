//! Events: who was refused and what has changed, from the kernel to who follows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod followers;
mod journal;
mod outbound;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use limiter_common::maps;
use limiter_common::report::{LOST, REPORTED};
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use limiter_user::bpf::Pins;
use nix::sys::signal::Signal;
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
