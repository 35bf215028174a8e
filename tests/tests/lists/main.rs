//! Prefixes that are allowed or denied whatever the limits say, changed while packets are judged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod change;
mod lockout;
mod many;
mod verdicts;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use limiter_tests::daemon::{Daemon, Machine, Said};
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use serde_json::Value;

/// Each source may open one connection, and never another.
const RULES: [&str; 8] =
    ["--interface", "eth0", "--port", "80", "--rate", "1/day burst 1", "--action", "drop"];

/// A server, and somebody who sends whatever he likes.
struct Scene {
    server: Machine,
    sender: Sender,
    _client: Host,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = Machine::with_client(LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        let sender = Sender::open(&client, "eth0");
        Self { server, sender, _client: client }
    }

    #[track_caller]
    fn attach(&self, more: &[&str]) -> Daemon {
        self.server.attach(&[&RULES[..], more].concat())
    }

    /// Runs a verb that must not fail.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> Said {
        let said = self.server.limiterctl(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said
    }

    /// Runs a verb with something on standard input.
    #[track_caller]
    fn says_to(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.server.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Sends a SYN from each source, and says what became of them all.
    #[track_caller]
    fn judge<'a>(&self, sources: impl IntoIterator<Item = &'a str>) -> Judged {
        let before = self.judged();
        let mut sent = 0;
        for source in sources {
            self.sender.send(&syn(source));
            sent += 1;
        }
        self.wait(before, sent)
    }

    #[track_caller]
    fn wait(&self, before: Judged, sent: u64) -> Judged {
        for _ in 0..1000 {
            let now = self.judged().since(before);
            if now.total() >= sent {
                return now;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{sent} SYNs were never judged: {}", self.server.status());
    }

    #[track_caller]
    fn judged(&self) -> Judged {
        let status = self.server.status();
        let rule = &status["rules"][0];
        let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{status}"));
        let refused = &rule["refused"];
        Judged {
            passed: count(&rule["passed"]),
            allowed: count(&rule["allowed"]),
            denied: count(&refused["denied"]),
            rate: count(&refused["rate"]),
        }
    }

    /// The prefixes on a list, by `limiterctl allow list` or `deny list`.
    #[track_caller]
    fn list(&self, list: &str) -> Vec<String> {
        let rows = self.says(&[list, "list", "--output", "json"]).stdout;
        let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
        rows.iter().map(|row| row["prefix"].as_str().unwrap().to_owned()).collect()
    }
}

/// What became of SYNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Judged {
    passed: u64,
    allowed: u64,
    denied: u64,
    rate: u64,
}

impl Judged {
    const NONE: Self = Self { passed: 0, allowed: 0, denied: 0, rate: 0 };

    const fn total(self) -> u64 {
        self.passed + self.allowed + self.denied + self.rate
    }

    const fn since(self, before: Self) -> Self {
        Self {
            passed: self.passed - before.passed,
            allowed: self.allowed - before.allowed,
            denied: self.denied - before.denied,
            rate: self.rate - before.rate,
        }
    }
}

fn syn(source: &str) -> Vec<u8> {
    let frame = if source.contains(':') {
        Frame::ipv6(source, "2001:db8::1")
    } else {
        Frame::ipv4(source, "192.0.2.1")
    };
    frame.tcp(40_000, 80).syn().build()
}
