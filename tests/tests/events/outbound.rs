//! Refusals of what processes in a cgroup do.

use std::thread;
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;
use limiter_tests::daemon::Machine;
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::{Host, LinkOptions, link};
use serde_json::{Value, json};

use super::events;

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
