//! A forged flood changes nothing for anybody known, and is not reflected beyond a budget.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod million;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use serde_json::Value;

const SERVER: &str = "192.0.2.1";
const KNOWN: &str = "192.0.2.2";

/// A server that listens, a client that is real, and whoever the client pretends to be.
struct Scene {
    server: Machine,
    client: Host,
    sender: Sender,
    _listener: TcpListener,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = Machine::with_client(LinkOptions::default());
        server.host.add_address("eth0", &format!("{SERVER}/24"));
        client.add_address("eth0", &format!("{KNOWN}/24"));
        let listener = server.host.run(|| TcpListener::bind((SERVER, 80)).unwrap());
        let sender = Sender::open(&client, "eth0");
        Self { server, client, sender, _listener: listener }
    }

    fn connects(&self) -> bool {
        let address = format!("{SERVER}:80").parse().unwrap();
        self.client.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    }

    /// SYNs, each from an address of its own that nobody has.
    fn forge(&self, count: u32) {
        for i in 0..count {
            let source = Ipv4Addr::from_bits(0x0a00_0000 + i).to_string();
            self.sender.send(&Frame::ipv4(&source, SERVER).tcp(40_000, 80).syn().build());
        }
    }

    /// The status once it holds.
    #[track_caller]
    fn status_when(&self, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let status = self.server.status();
            if holds(&status) {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it never came to that: {}", self.server.status());
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn who_has_completed_a_handshake_is_served_while_strangers_are_refused() {
    let scene = Scene::new();
    let arguments =
        ["--interface", "eth0", "--port", "80", "--rate", "1000/s burst 1000", "--action", "drop"];
    let mut daemon =
        scene.server.attach(&[&arguments[..], &["--strangers-rate", "1/hour burst 20"]].concat());
    assert!(scene.connects(), "there is room for a stranger");
    // Twenty in all, one of whom is known by now.
    scene.forge(2000);
    let status = scene.status_when(|status| number(&status["rules"][0]["refused"]["strangers"]) >= 1981);
    let rule = &status["rules"][0];
    assert_eq!((number(&rule["passed"]), number(&rule["refused"]["strangers"])), (20, 1981));
    assert_eq!(number(&rule["sources"]), 20, "who was refused took no place");
    assert!(rule["flood_since"].is_string(), "{rule}");
    daemon.wait_for("a flood of strangers began").unwrap();
    for _ in 0..50 {
        assert!(scene.connects(), "who is known is refused");
    }
    assert_eq!(number(&scene.server.status()["rules"][0]["refused"]["strangers"]), 1981);
    assert!(scene.server.limiterctl(&["status"]).stdout.contains("FLOOD of strangers since"));
    daemon.wait_for("the flood of strangers is over").unwrap();
}

#[test]
fn a_forger_spends_nobodys_rate_where_handshakes_are_charged() {
    let scene = Scene::new();
    let arguments = ["--interface", "eth0", "--port", "80", "--rate", "1/hour burst 3", "--action", "drop"];
    let _daemon = scene.server.attach(&[&arguments[..], &["--charge", "handshake"]].concat());
    let forged = Frame::ipv4(KNOWN, SERVER).tcp(50_000, 80).syn().build();
    (0..100).for_each(|_| scene.sender.send(&forged));
    scene.status_when(|status| number(&status["rules"][0]["passed"]) >= 100);
    let served: Vec<_> = (0..5).map(|_| scene.connects()).collect();
    assert_eq!(served, [true, true, true, false, false]);
}

#[test]
fn resets_have_a_budget_and_what_is_over_it_is_refused_in_silence() {
    let scene = Scene::new();
    let arguments = ["--interface", "eth0", "--port", "80", "--total-rate", "1/day burst 1"];
    let budget = ["--reset-rate", "1/hour burst 5", "--reset-total-rate", "10/hour burst 50"];
    let _daemon = scene.server.attach(&[&arguments[..], &budget].concat());
    let victim = Frame::ipv4("10.9.9.9", SERVER).tcp(50_000, 80).syn().build();
    (0..101).for_each(|_| scene.sender.send(&victim));
    let resets = scene.status_when(|status| number(&status["resets"]["silent_source"]) >= 95);
    let resets = &resets["resets"];
    assert_eq!((number(&resets["sent"]), number(&resets["silent_source"])), (5, 95));
    scene.forge(1000);
    let status = scene.status_when(|status| number(&status["resets"]["silent_total"]) >= 955);
    let resets = &status["resets"];
    assert_eq!((number(&resets["sent"]), number(&resets["silent_total"])), (50, 955));
    assert_eq!(number(&status["rules"][0]["resets"]), 50);
    assert!(scene.server.limiterctl(&["status"]).stdout.contains("1050 refused in silence"));
}
