//! What is held for destinations outlives the daemon, and the next one goes on with it.

use limiter_tests::client::protocol::How;
use nix::sys::signal::Signal;

use crate::{DNS, EDQUOT, Scene, admitted};

#[test]
fn names_counts_and_back_offs_outlive_a_killed_daemon() {
    const LIMITS: [&str; 4] = ["--default-rate", "1/hour burst 2", "--backoff", "1h"];
    let scene = Scene::new();
    scene.name("google.com", &["10.1.0.1"]);
    scene.name("other.test", &["10.1.0.2"]);
    let daemon = scene.attach(&LIMITS);
    let mut client = scene.client();
    client.resolve("google.com", DNS);
    client.resolve("other.test", DNS);
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.1:9"], 3), 2);
    let until = scene.why("google.com")["limits"][0]["until"].as_str().unwrap()[..16].to_owned();
    drop(daemon.signal(Signal::SIGKILL));

    assert_eq!(client.connect(How::Udp, "10.1.0.1:9").errno, EDQUOT, "with no daemon");
    let _daemon = scene.attach(&LIMITS);
    assert_eq!(client.connect(How::Udp, "10.1.0.1:9").errno, EDQUOT, "with the next one");
    assert_eq!(scene.counts("google.com"), (2, 3));
    assert_eq!(scene.outbound("/rules/0/allowed"), 2);
    let why = scene.why("google.com");
    assert!(why["limits"][0]["until"].as_str().unwrap().starts_with(&until), "{until}: {why}");
    assert_eq!(scene.names_of("10.1.0.2"), ["other.test"]);
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.2:9"], 3), 2, "who was not over has what he had");
}

#[test]
fn a_limit_is_exact_while_daemons_come_and_go() {
    const RATE: f64 = 20.0;
    const BURST: f64 = 5.0;
    const SECONDS: f64 = 8.0;
    const LIMITS: [&str; 2] = ["--default-rate", "20/s burst 5"];
    let scene = Scene::new();
    scene.name("google.com", &["10.1.0.1"]);
    let mut daemon = scene.attach(&LIMITS);
    let mut client = scene.client();
    client.resolve("google.com", DNS);
    let to = "10.1.0.1:9".parse().unwrap();
    client.tell(&limiter_tests::client::protocol::Request::Hammer {
        to,
        how: How::Udp,
        per_second: 100.0,
        seconds: SECONDS,
    });
    for _ in 0..6 {
        drop(daemon.signal(Signal::SIGKILL));
        daemon = scene.attach(&LIMITS);
    }
    let struck: Vec<(u64, i32)> = client.hear(std::time::Duration::from_secs_f64(SECONDS));
    let ok = struck.iter().filter(|(_, errno)| *errno == 0).count();
    assert!(struck.iter().all(|(_, errno)| [0, EDQUOT].contains(errno)), "{struck:?}");
    let (first, last) = (struck[0].0, struck[struck.len() - 1].0);
    #[expect(clippy::cast_precision_loss, reason = "a few seconds, a few hundred attempts")]
    let (ok, seconds) = (ok as f64, (last - first) as f64 / 1e9);
    let most = BURST + RATE * seconds;
    println!("{ok} admitted of {most:.1} in {seconds:.2} s");
    assert!(ok <= most + 1.0 && ok >= most * 0.99 - 1.0, "{ok} of {most}");
}

/// A name that was learned under one rule follows to another, and so does what has been learned of wildcards.
#[test]
fn learned_names_follow_to_the_rules_that_list_them_now() {
    const DEFAULT: [&str; 2] = ["--default-rate", "1/hour burst 1"];
    let scene = Scene::new();
    for (name, address) in
        [("google.com", "10.1.0.1"), ("www.shop.test", "10.1.0.2"), ("other.test", "10.1.0.3")]
    {
        scene.name(name, &[address]);
    }
    let host = |hosts: &'static str| [&DEFAULT[..], &["--host", hosts]].concat();
    let daemon = scene.attach(&host("other.test = 1/hour burst 5"));
    let mut client = scene.client();
    for name in ["google.com", "www.shop.test", "other.test"] {
        client.resolve(name, DNS);
    }
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.1:9"], 5), 1, "unlisted");
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.3:9"], 9), 5, "listed");
    drop(daemon.signal(Signal::SIGTERM)); // Without --keep: nothing is left.
    assert!(!scene.machine.has_pins());

    let daemon = scene.attach(&host("other.test = 1/hour burst 5"));
    for name in ["google.com", "www.shop.test", "other.test"] {
        client.resolve(name, DNS);
    }
    drop(daemon.signal(Signal::SIGKILL));
    let daemon = scene.attach(&host("google.com,*.shop.test = 1/hour burst 3"));
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.1:9"], 5), 3, "google.com is listed now");
    assert_eq!(
        admitted(&mut client, How::Udp, &["10.1.0.2:9"], 5),
        0,
        "and shares its rule with *.shop.test"
    );
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.3:9"], 5), 1, "other.test is unlisted now");
    assert_eq!(scene.why("www.shop.test")["limits"][0]["rule"], "google.com,*.shop.test");
    drop(daemon.signal(Signal::SIGKILL));
    let _daemon = scene.attach(&DEFAULT);
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.2:9"], 5), 1, "no rule lists anything");
    assert_eq!(scene.names_of("10.1.0.2"), ["www.shop.test"]);
}
