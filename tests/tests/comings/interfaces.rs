//! Interfaces that are deleted, made, and renamed.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{Scene, on};

#[test]
fn an_interface_that_is_made_anew_is_limited_again_and_no_bucket_is_fresh() {
    let scene = Scene::new();
    scene.link("eth0");
    let mut daemon = scene.server.attach(&on("eth0", &[]));
    scene.send_syns("eth0", 5, 1);
    scene.judged(3, 2);
    assert_eq!(scene.server.status()["interfaces"][0].get("gap_ms"), None, "there was none");
    for round in 1..=3 {
        scene.server.host.ip("link delete eth0");
        daemon.wait_for("eth0 is gone").unwrap();
        scene.link("eth0");
        daemon.wait_for("eth0 is there: attached, native XDP; nothing was limited there for ").unwrap();
        println!("{}", daemon.said.last().unwrap());
        scene.had_gap("/interfaces/0");
        scene.send_syns("eth0", 5, 1);
        scene.judged(3, 2 + 5 * round);
        assert_eq!(scene.links().len(), 1, "those of earlier ones are removed");
    }
    let (status, stderr) = daemon.signal(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    assert_eq!(stderr, "limiterctl: waiting for interface eth0: it is not there\n".repeat(3));
    assert!(!scene.server.has_pins());
}

#[test]
fn an_interface_that_is_gone_is_said_to_be_waited_for() {
    let scene = Scene::new();
    scene.link("eth0");
    let mut daemon = scene.server.attach(&on("eth0", &[]));
    scene.server.host.ip("link delete eth0");
    daemon.wait_for("eth0 is gone").unwrap();
    scene.waits_for(&["eth0"]);
    let status = scene.server.status();
    assert_eq!((&status["interfaces"], &status["mode"]), (&json!([]), &json!("enforce")), "{status}");
    let said = scene.server.limiterctl(&["status"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("waiting for interface eth0: it is not there\n"), "{said:?}");
}

#[test]
fn a_name_is_what_counts_and_not_the_interface_that_had_it() {
    let scene = Scene::new();
    scene.link("eth0");
    let mut daemon = scene.server.attach(&on("eth0", &[]));
    let rename = |from: &str, to: &str| {
        scene.server.host.ip(&format!("link set {from} down"));
        scene.server.host.ip(&format!("link set {from} name {to}"));
        scene.server.host.ip(&format!("link set {to} up"));
    };
    rename("eth0", "lan0");
    daemon.wait_for("eth0 is called lan0 now: detached").unwrap();
    assert_eq!(scene.server.xdp("lan0"), "");
    scene.link("eth0x");
    rename("eth0x", "eth0");
    daemon.wait_for("eth0 is there: attached").unwrap();
    scene.send_syns("eth0x", 5, 1);
    scene.judged(3, 2);
    scene.had_gap("/interfaces/0");
}

#[test]
fn a_pattern_is_for_what_is_there_and_for_what_comes() {
    let scene = Scene::new();
    scene.link("eth0");
    let mut daemon = scene.server.attach(&on("eth*,br?", &[]));
    let there = |names: &[&str], waiting: &[&str]| {
        let status = scene.server.status();
        let interfaces = status["interfaces"].as_array().unwrap().iter();
        let found: Vec<_> = interfaces.map(|interface| interface["name"].as_str().unwrap()).collect();
        assert_eq!((found, &status["waiting"]), (names.to_vec(), &json!(waiting)), "{status}");
    };
    there(&["eth0"], &["br?"]);
    scene.link("wan0");
    scene.link("eth1");
    daemon.wait_for("eth1 is there: attached, native XDP").unwrap();
    scene.send_syns("eth0", 2, 1);
    scene.send_syns("eth1", 3, 1);
    scene.judged(3, 2);
    assert_eq!((scene.server.xdp("wan0"), scene.server.xdp("lo")), (String::new(), String::new()));

    // One that goes on under the pattern is limited without a gap, one that leaves it is not limited any more.
    scene.server.host.ip("link set eth1 down");
    scene.server.host.ip("link set eth1 name eth7");
    daemon.wait_for("eth1 is called eth7 now, and limited as before").unwrap();
    scene.server.host.ip("link set wan0 down");
    scene.server.host.ip("link set wan0 name br0");
    daemon.wait_for("br0 is there: attached").unwrap();
    scene.server.host.ip("link delete eth0");
    daemon.wait_for("eth0 is gone").unwrap();
    scene.server.host.ip("link set eth7 name lan0");
    daemon.wait_for("eth7 is called lan0 now: detached").unwrap();
    scene.waits_for(&["eth*"]);
    there(&["br0"], &["eth*"]);
    assert_eq!(scene.links().len(), 1);
}
