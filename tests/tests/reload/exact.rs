//! Limits hold to the count while configurations are exchanged.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::{How, Request};
use limiter_tests::control::ask;
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;

use crate::{Scene, rules};

const EDQUOT: i32 = 122;

/// Asked for fifty times a second, for ten seconds; a minute with `LIMITER_SOAK=1`.
#[test]
fn limits_are_exact_while_one_reload_follows_the_other() {
    const RATE: u64 = 1000;
    let seconds = if std::env::var_os("LIMITER_SOAK").is_some() { 60 } else { 10 };
    let scene = Scene::new();
    let (world, cgroup, zone) = (&scene.client, Cgroup::new(), Zone::new());
    scene.server.host.add_address("eth1", "10.0.0.1/24");
    world.add_address("eth1", "10.0.0.53/24");
    scene.server.host.add_route("10.0.0.0/8", "via 10.0.0.53");
    world.ip("route add local 10.1.0.0/16 dev lo");
    let _server = DnsServer::start(world, "10.0.0.53:53".parse().unwrap(), &zone);
    zone.set("google.com", Answer::addresses(300, &["10.1.0.1"]));
    let text = |other: u32| {
        rules(&[("web", 80, "1000/s burst 1000"), ("other", 81, &format!("{other}/s"))])
            + &format!(
                "[outbound]\ncgroups = [\"{}\"]\nexempt = [\"10.0.0.53\"]\n\
                 default = \"50/s burst 10\"\n[[outbound.rule]]\nname = \"other\"\nhosts = [\"other{other}.test\"]\n\
                 rate = \"1/s\"\n",
                cgroup.path().display()
            )
    };
    let mut daemon = scene.attach(&text(1));
    let mut client = Client::start(&scene.server.host, &cgroup);
    client.resolve("google.com", "10.0.0.53:53");
    let to = "10.1.0.1:9".parse().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a minute at most")]
    let duration = seconds as f64;
    client.tell(&Request::Hammer { to, how: How::Udp, per_second: 200.0, seconds: duration });
    let done = AtomicBool::new(false);
    let (sent, reloads) = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let frame = Frame::ipv4("198.51.100.1", "192.0.2.1").tcp(40_000, 80).syn().build();
            let sent = Sender::open(&scene.client, "eth0").flood(
                &vec![frame; 64],
                4 * RATE,
                Duration::from_secs(seconds),
                None,
            );
            done.store(true, Ordering::Relaxed);
            sent
        });
        // Each asks as often as it is answered, all together more than fifty times a second: a configuration is exchanged a
        // few times a second at best, and who asks meanwhile is answered by the next exchange.
        let askers: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    let (mut asked, mut changed) = (0_u64, 0_u64);
                    while !done.load(Ordering::Relaxed) {
                        // Half a file is refused, and tried again.
                        let (code, answer) = ask(&scene.server, "POST", "/v1/reload", Some("{}"));
                        assert!(code == 200 || code == 422, "{code}: {answer}");
                        changed +=
                            u64::from(answer["changes"].as_array().is_some_and(|lines| !lines.is_empty()));
                        asked += 1;
                    }
                    (asked, changed)
                })
            })
            .collect();
        let mut number = 1;
        while !done.load(Ordering::Relaxed) {
            number = number % 9 + 1;
            let new = format!("{}.new", scene.file());
            fs::write(&new, text(number)).unwrap();
            fs::rename(&new, scene.file()).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        let sum = askers.into_iter().map(|asker| asker.join().unwrap());
        (flood.join().unwrap(), sum.fold((0, 0), |(a, b), (c, d)| (a + c, b + d)))
    });
    let struck: Vec<(u64, i32)> = client.hear(Duration::from_secs(seconds));
    let (passed, refused) = scene.counts("web", sent.count);
    assert_eq!(passed + refused, sent.count, "each is judged once");
    let exchanged = daemon.heard().iter().filter(|line| *line == "limiterctl: reloaded").count();
    assert!(exchanged > 0, "nothing was exchanged meanwhile");
    println!(
        "{} reloads asked for, {} answers with changes, {exchanged} exchanges, in {seconds} s",
        reloads.0, reloads.1
    );
    is_exact("inbound", passed, 1000.0, 1000.0, sent.last_ns - sent.first_ns);
    assert!(struck.iter().all(|(_, errno)| [0, EDQUOT].contains(errno)), "{struck:?}");
    let ok = struck.iter().filter(|(_, errno)| *errno == 0).count() as u64;
    is_exact("outbound", ok, 10.0, 50.0, struck[struck.len() - 1].0 - struck[0].0);
}

#[track_caller]
fn is_exact(what: &str, count: u64, burst: f64, rate: f64, nanoseconds: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a minute, and what is counted in it")]
    let (count, expected) = (count as f64, burst + rate * nanoseconds as f64 / 1e9);
    println!("{what}: {count} passed, {expected:.1} expected");
    assert!(
        (count - expected).abs() <= (expected / 100.0).max(2.0),
        "{what}: {count} passed, not {expected:.1}"
    );
}
