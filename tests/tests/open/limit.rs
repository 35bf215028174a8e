//! The limit itself.

use super::{Scene, Server, reset};
use limiter_tests::daemon::Machine;
use nix::sys::signal::Signal;
use serde_json::json;

#[test]
fn fifteen_are_open_the_sixteenth_is_refused_and_one_that_ends_makes_room() {
    for mode in ["native", "generic"] {
        let scene = Scene::new();
        let _daemon = scene.attach(&["--max-open", "15", "--xdp-mode", mode]);
        let _server = Server::start(&scene.machine.host);
        for (source, prefix) in [("10.1.0.5", "10.1.0.5/32"), ("fd01::5", "fd01::/64")] {
            let mut open = scene.connect_all(source, 15);
            scene.is_refused(source);
            scene.agree_on(prefix, 15);
            open.pop();
            open.push(scene.admitted_at_last(source));
            scene.is_refused(source);
            reset(open.remove(0));
            open.push(scene.admitted_at_last(source));
            scene.is_refused(source);
            drop(open);
            scene.agree_on(prefix, 0);
        }
        let stranger = scene.connect("10.1.0.6").expect("another source has its own");
        let rule = scene.rule();
        assert_eq!(
            (&rule["max_open"], &rule["open"], &rule["listening"]),
            (&json!(15), &json!(1), &json!(true))
        );
        assert!(rule["refused"]["open"].as_u64() >= Some(6), "{mode}: {rule}");
        assert_eq!(rule["refused"]["contention"], 0, "{mode}: {rule}");
        drop(stranger);
    }
}

/// What the limit on open connections refuses uses up nothing of the rate, and the other way round.
#[test]
fn with_a_rate_both_hold_and_neither_pays_for_the_other() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "3", "--rate", "1/h burst 5"]);
    let _server = Server::start(&scene.machine.host);
    let mut open = scene.connect_all("10.1.0.5", 3);
    for _ in 0..20 {
        scene.is_refused("10.1.0.5");
    }
    for _ in 0..2 {
        open.pop();
        scene.agree_on("10.1.0.5/32", 2);
        open.push(scene.connect("10.1.0.5").expect("the fourth and the fifth of the burst"));
    }
    open.pop();
    scene.agree_on("10.1.0.5/32", 2);
    for _ in 0..20 {
        scene.is_refused("10.1.0.5");
    }
    let refused = &scene.rule()["refused"];
    assert_eq!((&refused["open"], &refused["rate"]), (&json!(20), &json!(20)), "{refused}");
}

#[test]
fn sources_of_one_prefix_share_what_they_may_hold() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "4", "--source-prefix", "24,56"]);
    let _server = Server::start(&scene.machine.host);
    for sources in
        [["10.1.7.1", "10.1.7.2", "10.1.8.1"], ["fd01:0:0:100::1", "fd01:0:0:1ff::1", "fd01:0:0:200::1"]]
    {
        let _open = [scene.connect_all(sources[0], 2), scene.connect_all(sources[1], 2)];
        scene.is_refused(sources[0]);
        scene.is_refused(sources[1]);
        let _stranger = scene.connect(sources[2]).expect("of another prefix");
        let counts = scene.agree_by(24, 56);
        assert_eq!(counts.values().sum::<u64>(), 5, "{counts:?}");
    }
}

#[test]
fn in_monitor_mode_the_sixteenth_is_counted_and_admitted() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "15", "--monitor"]);
    let _server = Server::start(&scene.machine.host);
    let _open = scene.connect_all("10.1.0.5", 18);
    scene.agree_on("10.1.0.5/32", 18);
    let rule = scene.rule();
    assert_eq!((&rule["passed"], &rule["refused"]["open"]), (&json!(15), &json!(3)), "{rule}");
}

#[test]
fn a_killed_daemon_leaves_the_limit_and_the_counting() {
    let scene = Scene::new();
    let daemon = scene.attach(&["--max-open", "3"]);
    let _server = Server::start(&scene.machine.host);
    let mut open = scene.connect_all("10.1.0.5", 3);
    drop(daemon.signal(Signal::SIGKILL));
    for _ in 0..3 {
        scene.is_refused("10.1.0.5");
        open.pop();
        open.push(scene.admitted_at_last("10.1.0.5"));
    }
    drop(open);
    scene.agree_on("10.1.0.5/32", 0);
    assert_eq!(scene.machine.limiterctl(&["detach"]).code, 0);
    assert!(!scene.machine.has_pins());
    let said = scene.machine.limiterctl(&["list", "sources"]);
    assert_eq!((said.code, said.stderr.as_str()), (1, "limiterctl: nothing limits open connections\n"));
}

#[test]
fn what_is_open_before_attach_is_counted_and_so_is_its_end() {
    let scene = Scene::new();
    let _server = Server::start(&scene.machine.host);
    let mut open = scene.connect_all("10.1.0.5", 5);
    let _v6 = scene.connect_all("fd01::5", 2);
    let _daemon = scene.attach(&["--max-open", "5"]);
    scene.is_refused("10.1.0.5");
    assert_eq!(scene.counted(), [("10.1.0.5/32".into(), 5), ("fd01::/64".into(), 2)].into());
    assert_eq!(scene.machine.status()["connections"]["events"]["healed"], 0, "nothing was lost");
    // Nobody hears of the end of such a socket: the list of sockets tells.
    open.truncate(2);
    scene.agree_on("10.1.0.5/32", 2);
    open.extend(scene.connect_all("10.1.0.5", 3));
    scene.is_refused("10.1.0.5");
}

#[test]
fn words_say_what_is_limited_and_who_holds_how_much() {
    let scene = Scene::new();
    let daemon = scene.attach(&["--max-open", "15"]);
    assert!(
        daemon.said.last().unwrap().contains("port 80: 15 open for each /32 and /64; over it: reset"),
        "{:?}",
        daemon.said
    );
    let status = |machine: &Machine| machine.limiterctl(&["status"]).stdout;
    let silent = "nothing listens on its ports in this network namespace";
    assert!(status(&scene.machine).contains(silent), "{}", status(&scene.machine));
    let _server = Server::start(&scene.machine.host);
    assert!(!status(&scene.machine).contains(silent), "{}", status(&scene.machine));
    let _open = [scene.connect_all("10.1.0.5", 2), scene.connect_all("10.1.0.6", 3)];
    scene.agree();
    let said = scene.machine.limiterctl(&["list", "sources"]);
    let rows: Vec<Vec<_>> = said.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let place = |row: [&str; 4]| rows.iter().position(|other| *other == row);
    let places = [
        ["source", "rule", "open", "of"],
        ["10.1.0.6/32", "command-line", "3", "15"],
        ["10.1.0.5/32", "command-line", "2", "15"],
    ]
    .map(place);
    assert!(places.is_sorted() && places[0].is_some(), "{}", said.stdout);
}
