//! A limit is exact: burst + rate x time, within 1 %, in either mode and family, on any number of CPUs.
//!
//! Time is the kernel's: that of the flood's first frame and its last. A burst is what the rate allows in a second, so
//! a sender that is kept from the CPU for less than that catches up and loses nothing. Nobody has the address that the
//! SYNs go to, so nothing answers them; they are counted behind XDP by packet sockets, and by the limiter itself.

mod backoff;
mod cpus;
mod sources;

use std::thread;
use std::time::Duration;

use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::packet::Frame;
use limiter_tests::wire::{Counter, Filter, Sender, Sent};
use serde_json::{Value, json};

const MODES: [&str; 2] = ["native", "generic"];
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const TEN_SECONDS: Duration = Duration::from_secs(10);
const TWO_SECONDS: Duration = Duration::from_secs(2);
/// For a machine that does something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// Where source number `n` is. Each has a /24, or a /48, of its own.
    fn source(self, n: u8, host: u8) -> String {
        match self {
            Self::V4 => format!("198.18.{n}.{host}"),
            Self::V6 => format!("2001:db8:{n:x}:{host:x}::1"),
        }
    }

    fn syn(self, n: u8, host: u8) -> Frame {
        let source = self.source(n, host);
        let frame = match self {
            Self::V4 => Frame::ipv4(&source, "192.0.2.1"),
            Self::V6 => Frame::ipv6(&source, "2001:db8::1"),
        };
        frame.tcp(40_000, 80).syn()
    }
}

/// A server that limits port 80 of its interface in silence, and a client at the other end.
struct Scene {
    server: Machine,
    _client: Host,
    sender: Sender,
    passed: Counter,
    _daemon: Daemon,
}

/// What became of a flood.
struct Outcome {
    passed: u64,
    /// The rule in `limiterctl status`.
    rule: Value,
}

impl Scene {
    fn new(mode: &str, limits: &[&str]) -> Self {
        let (server, client) = Machine::with_client(LinkOptions::default());
        let common = ["--interface", "eth0", "--port", "80", "--action", "drop", "--xdp-mode", mode];
        let daemon = server.attach(&[&common, limits].concat());
        let passed = Counter::open(&server.host, "eth0", Filter::syn_to(80));
        let sender = Sender::open(&client, "eth0");
        Self { server, _client: client, sender, passed, _daemon: daemon }
    }

    /// Sends these over and over.
    fn flood(&self, frames: &[Frame], rate: u64, duration: Duration) -> Sent {
        let frames: Vec<_> = frames.iter().map(Frame::build).collect();
        self.sender.flood(&frames, rate, duration, None)
    }

    /// The same from two CPUs at once, each at this rate.
    fn flood_from_both_cpus(&self, frame: &Frame, rate: u64, duration: Duration) -> [Sent; 2] {
        let (sender, frames) = (&self.sender, &vec![frame.build(); 64]);
        thread::scope(|scope| {
            [0, 1]
                .map(|cpu| scope.spawn(move || sender.flood(frames, rate, duration, Some(cpu))))
                .map(|thread| thread.join().expect("it floods"))
        })
    }

    /// The status, once all that was sent has been judged.
    #[track_caller]
    fn status_after(&self, sent: u64) -> Value {
        for _ in 0..500 {
            let status = self.server.status();
            if judged(&status["rules"][0]) >= sent {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{sent} SYNs were never judged: {}", self.server.status());
    }

    /// Holds what was counted against itself: the limiter's own numbers, and what came through.
    #[track_caller]
    fn outcome(&self, sent: u64, through: impl FnOnce(&Value) -> u64) -> Outcome {
        let status = self.status_after(sent);
        let rule = status["rules"][0].clone();
        assert_eq!(judged(&rule), sent, "each is judged once: {rule}");
        assert!(number(&status["skipped"]).is_none_or(|skipped| skipped == 0), "{status}");
        let passed = through(&rule);
        self.passed.wait_for(passed, PATIENCE);
        assert_eq!(self.passed.settled(), passed, "what came through is what is said to have: {rule}");
        Outcome { passed, rule }
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_object().map(|reasons| reasons.values().filter_map(Value::as_u64).sum())
}

fn judged(rule: &Value) -> u64 {
    rule["passed"].as_u64().expect("a number") + number(&rule["refused"]).expect("reasons")
}

fn passed(rule: &Value) -> u64 {
    rule["passed"].as_u64().expect("a number")
}

/// Everything is refused for this reason, or not at all.
#[track_caller]
fn refused_for(rule: &Value, reason: &str, count: u64) {
    let mut expected =
        json!({"rate": 0, "backoff": 0, "total": 0, "contention": 0, "denied": 0, "open": 0, "strangers": 0});
    expected[reason] = count.into();
    assert_eq!(rule["refused"], expected, "{rule}");
}

/// A rate with a burst of one second.
#[derive(Clone, Copy)]
struct Limit(u64);

impl Limit {
    fn words(self) -> String {
        format!("{0}/s burst {0}", self.0)
    }

    /// How many pass of those that come in this time, if enough of them do.
    fn allows(self, sent: &[Sent]) -> f64 {
        let last_ns = sent.iter().map(|sent| sent.last_ns).max().expect("a flood");
        self.allows_within(first_ns(sent), last_ns)
    }

    /// The same from that time on until this.
    fn allows_within(self, first_ns: u64, last_ns: u64) -> f64 {
        float(self.0) * (1.0 + Duration::from_nanos(last_ns - first_ns).as_secs_f64())
    }
}

fn first_ns(sent: &[Sent]) -> u64 {
    sent.iter().map(|sent| sent.first_ns).min().expect("a flood")
}

/// Holds a count to 1 %, and no less than the one packet by which anything whole must differ.
#[track_caller]
fn is_exact(what: &str, passed: u64, expected: f64) {
    println!("{what}: {passed} passed, {expected:.1} expected");
    let allowed = (expected / 100.0).max(1.0);
    assert!((float(passed) - expected).abs() <= allowed, "{what}: {passed} passed, not {expected:.1}");
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("no test sends more"))
}

/// Runs a story in each mode and for each family, all at once.
fn everywhere(story: impl Fn(&str, Family) + Sync) {
    thread::scope(|scope| {
        for mode in MODES {
            for family in FAMILIES {
                let story = &story;
                scope.spawn(move || story(mode, family));
            }
        }
    });
}
