//! A unit that is restarted has a new cgroup, and goes on where the old one was.

use std::process;

use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;

use crate::{DNS, EDQUOT, Scene, admitted};

/// More than a busy machine takes, and no number to promise: what it takes is printed.
const LONGEST_GAP_MS: u64 = 2_000;

#[test]
fn a_unit_that_is_restarted_is_limited_again_with_names_and_buckets() {
    let scene = Scene::new();
    let name = format!("comings-{}.service", process::id());
    restart(&scene, &name, &name);
}

#[test]
fn a_cgroup_that_is_made_anew_is_limited_again_with_names_and_buckets() {
    let scene = Scene::new();
    let path = scene.cgroup.path().join("worker");
    restart(&scene, "worker", path.to_str().unwrap());
}

/// Restarts what is called `wanted`, which is this child of the scene's cgroup.
fn restart(scene: &Scene, child: &str, wanted: &str) {
    scene.name("google.com", &["10.1.0.1"]);
    let mut unit = scene.cgroup.child(child);
    let mut daemon = scene.machine.attach(&[
        "--cgroup",
        wanted,
        "--exempt",
        "10.0.0.53,fd00::53",
        "--default-rate",
        "1/hour burst 3",
    ]);
    let mut client = Client::start(&scene.machine.host, &unit);
    client.resolve("google.com", DNS);
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.1:9"], 2), 2);
    for round in 0..4 {
        drop(client);
        drop(unit);
        unit = scene.cgroup.child(child);
        daemon.wait_for(": attached; nothing was limited there for ").unwrap();
        println!("{}", daemon.said.last().unwrap());
        client = Client::start(&scene.machine.host, &unit);
        let admitted = admitted(&mut client, How::Udp, &["10.1.0.1:9"], 3);
        assert_eq!(admitted, usize::from(round == 0), "the rest of the old one's burst");
        let cgroup = &scene.machine.status()["outbound"]["cgroups"][0];
        let gap = cgroup["gap_ms"].as_u64().unwrap_or_else(|| panic!("no gap: {cgroup}"));
        assert!(gap < LONGEST_GAP_MS && cgroup["active"] == true, "{cgroup}");
    }
    assert_eq!(client.connect(How::Udp, "10.1.0.1:9").errno, EDQUOT);
    assert_eq!(scene.names_of("10.1.0.1"), ["google.com"]);
}
