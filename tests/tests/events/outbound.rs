//! Refusals of what processes in a cgroup do.

use std::thread;
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::{Host, LinkOptions, link};
use serde_json::{Value, json};

use super::events;

pub const DNS: &str = "10.0.0.53:53";

/// An application's machine, and the world, in which names are.
pub struct Scene {
    pub machine: Machine,
    _world: Host,
    cgroup: Cgroup,
    pub zone: Zone,
    _server: DnsServer,
}

impl Scene {
    pub fn new() -> Self {
        let (machine, world) = (Machine::new("machine"), Host::new("world"));
        link(&machine.host, "eth0", &world, "eth0", LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        machine.host.add_address("eth0", "10.0.0.1/24");
        world.add_address("eth0", "10.0.0.53/24");
        machine.host.add_route("10.0.0.0/8", "via 10.0.0.53");
        for prefix in ["10.0.1.0/24", "10.64.0.0/10"] {
            world.ip(&format!("route add local {prefix} dev lo"));
        }
        let zone = Zone::new();
        let server = DnsServer::start(&world, DNS.parse().unwrap(), &zone);
        Self { machine, _world: world, cgroup: Cgroup::new(), zone, _server: server }
    }

    /// Limits the cgroup, and starts a process in it.
    pub fn attach(&self, limits: &[&str]) -> (Daemon, Client) {
        let path = self.cgroup.path().to_str().unwrap();
        let daemon = self.machine.attach(&[&["--cgroup", path, "--exempt", "10.0.0.53"], limits].concat());
        (daemon, Client::start(&self.machine.host, &self.cgroup))
    }

    /// The first refusal that was told of for this reason.
    #[track_caller]
    fn refusal(&self, reason: &str) -> Value {
        self.told(|event| event["reason"] == reason)
    }

    #[track_caller]
    fn told(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut told = Vec::new();
        for _ in 0..1000 {
            told = events(&self.machine, "refusal");
            if let Some(event) = told.iter().find(|event| is_it(event)) {
                return event.clone();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it was never told of: {told:?}");
    }
}

/// What an event of an hour's limit says, but for when.
#[track_caller]
fn says(event: &Value, rule: &str, reason: &str, host: Option<&str>, address: &str, port: u16) {
    let mut event = event.clone();
    assert!(event["time"].take().as_str().unwrap().ends_with('Z'));
    let retry = event["retry_after_ms"].take();
    assert!(retry.as_u64().is_some_and(|retry| (1..=3_600_000).contains(&retry)), "{event} {retry}");
    assert_eq!(
        event,
        json!({"time": null, "kind": "refusal", "direction": "outbound", "rule": rule, "reason": reason,
            "address": address, "port": port, "source": null, "host": host, "monitor": false, "retry_after_ms": null})
    );
}

#[test]
fn a_refused_connection_is_told_of_with_its_name() {
    let scene = Scene::new();
    scene.zone.set("a.test", Answer::addresses(300, &["10.0.1.7"]));
    let limits = ["--host", "*.test = 1/hour burst 1", "--default-rate", "1/hour burst 1"];
    let (_daemon, mut client) = scene.attach(&limits);
    client.resolve("a.test", DNS);
    for _ in 0..3 {
        client.connect(How::Tcp, "10.0.1.7:443");
        client.connect(How::Tcp, "10.0.1.8:443");
    }
    for (address, rule, host) in [("10.0.1.7", "*.test", Some("a.test")), ("10.0.1.8", "default", None)] {
        says(&scene.told(|event| event["address"] == address), rule, "rate", host, address, 443);
    }
}

/// The address is the name server's, which has nothing to do with the name.
#[test]
fn a_refused_query_is_told_of_with_the_name_that_was_asked_for() {
    let scene = Scene::new();
    scene.zone.set("a.test", Answer::addresses(300, &["10.0.1.7"]));
    let (_daemon, mut client) = scene.attach(&["--default-rate", "1000/s, lookups 1/hour burst 1"]);
    for _ in 0..3 {
        client.resolve("a.test", DNS);
    }
    says(&scene.refusal("lookups"), "default", "lookups", Some("a.test"), "10.0.0.53", 53);
}

#[test]
fn refused_packets_and_bytes_are_told_of_with_their_name() {
    let scene = Scene::new();
    scene.zone.set("packets.test", Answer::addresses(300, &["10.0.1.7"]));
    scene.zone.set("bytes.test", Answer::addresses(300, &["10.0.1.8"]));
    let limits =
        ["packets.test = packets 1/hour burst 20", "bytes.test = bytes 64 kbytes/day burst 64 kbytes"];
    let (_daemon, mut client) = scene.attach(&["--host", limits[0], "--host", limits[1]]);
    for (reason, name, address, times) in
        [("packets", "packets.test", "10.0.1.7", 30), ("bytes", "bytes.test", "10.0.1.8", 3000)]
    {
        client.resolve(name, DNS);
        // Each is a byte behind 28 bytes of headers.
        client.connect_send(How::Udp, &format!("{address}:7"), times);
        says(&scene.refusal(reason), name, reason, Some(name), address, 7);
    }
}
