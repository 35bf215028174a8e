//! Interfaces and cgroups come and go while limits are in force, and somebody takes programs off.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod forced;
mod interfaces;
mod waiting;

use std::fs;
use std::thread;
use std::time::Duration;

use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use serde_json::{Value, json};

const LINKS: &str = "/sys/fs/bpf/limiterctl/links";
/// More than a busy machine takes, and no number to promise: what it takes is printed.
const LONGEST_GAP_MS: u64 = 2_000;

/// A server without interfaces yet, and a client.
struct Scene {
    server: Machine,
    client: Host,
}

impl Scene {
    fn new() -> Self {
        Self { server: Machine::new("server"), client: Host::new("client") }
    }

    /// Connects them by an interface of this name at both ends.
    fn link(&self, name: &str) {
        link(
            &self.client,
            name,
            &self.server.host,
            name,
            LinkOptions { xdp_tx: false, ..Default::default() },
        );
    }

    fn send_syns(&self, interface: &str, count: usize, source: u8) {
        // A link that is new takes nothing before the kernel has noticed that its other end is up.
        while !self.client.ip(&format!("link show {interface}")).contains("state UP") {
            thread::sleep(Duration::from_millis(1));
        }
        let frame = Frame::ipv4(&format!("198.51.100.{source}"), "192.0.2.1").tcp(40_000, 80).syn().build();
        let sender = Sender::open(&self.client, interface);
        (0..count).for_each(|_| sender.send(&frame));
    }

    /// Holds that of all SYNs so far so many have passed, and so many were refused.
    #[track_caller]
    fn judged(&self, passed: u64, refused: u64) {
        let mut rule = Value::Null;
        for _ in 0..300 {
            rule = self.server.status()["rules"][0].clone();
            if (&rule["passed"], &rule["refused"]["rate"]) == (&json!(passed), &json!(refused)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{passed} should have passed, and {refused} not: {rule}");
    }

    /// Comes back when this, in this order, is what status says that is waited for.
    #[track_caller]
    fn waits_for(&self, names: &[&str]) {
        let mut status = Value::Null;
        for _ in 0..500 {
            status = self.server.status();
            if status["waiting"] == json!(names) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it should wait for {names:?}: {status}");
    }

    /// Holds that something was attached after a gap; `place` is where status tells of it.
    #[track_caller]
    fn had_gap(&self, place: &str) {
        let status = self.server.status();
        let there = status.pointer(place).unwrap_or_else(|| panic!("no {place}: {status}"));
        let gap = there["gap_ms"].as_u64().unwrap_or_else(|| panic!("no gap: {there}"));
        println!("{place}: a gap of {gap} ms");
        assert!(
            gap < LONGEST_GAP_MS && there["attached_at"].is_string() && there["active"] == true,
            "{there}"
        );
        let said = self.server.limiterctl(&["status"]).stdout;
        let end = format!(" ago, after a gap of {gap} ms");
        assert!(
            said.lines().any(|line| line.starts_with("  attached again ") && line.ends_with(&end)),
            "{said}"
        );
    }

    /// The names of pinned links.
    fn links(&self) -> Vec<String> {
        let names =
            || fs::read_dir(LINKS).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = self.server.sandbox.run(|| names().collect());
        names.sort();
        names
    }
}

fn on<'a>(interfaces: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let rule = ["--port", "80", "--action", "drop", "--rate", "1/hour burst 3"];
    [&["--interface", interfaces][..], &rule, more].concat()
}
