//! What teaches the kernel an address, and what does not.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use limiter_tests::client::Client;
use limiter_tests::client::protocol::{How, Kind, Lookup, Transport};
use limiter_tests::dns::{A, AAAA, Answer, Query, forge};
use limiter_tests::net::Sandbox;

use crate::{DNS, DNS_V6, PLENTY, Scene, admitted};

const VICTIM: &str = "10.1.0.66";
const TRUE: &str = "10.1.0.1";

fn answer(query: &Query) -> Vec<u8> {
    query.reply().address(300, TRUE).build()
}

/// With one additional record more than there is: its addresses are read, and who asked goes on waiting.
fn cut_off(mut message: Vec<u8>) -> Vec<u8> {
    message[11] += 1;
    message
}

#[test]
fn every_transport_and_form_of_an_answer_teaches() {
    let scene = Scene::new();
    scene.name("a.test", &[TRUE, "2001:db8::1"]);
    scene.zone.set("long.test", Answer::addresses(300, &["10.1.0.2"]).over_tcp());
    scene.zone.set(
        "plain.test",
        Answer::raw(|query| {
            let mut reply = query.reply().address(300, "10.1.0.3");
            reply.compressed = false;
            vec![reply.build()]
        }),
    );
    let _daemon = scene.attach(&["--default-rate", PLENTY]);
    let mut client = scene.client();
    let mut look_up = |name: &str, change: &dyn Fn(&mut Lookup)| {
        let mut lookup = Lookup::new(name, DNS.parse().unwrap());
        change(&mut lookup);
        client.look_up(lookup)
    };
    look_up("a.test", &|_| {});
    assert_eq!(scene.names_of(TRUE), ["a.test"], "UDP with EDNS");
    look_up("a.test", &|l| {
        (l.kind, l.server, l.edns, l.connected) = (Kind::Aaaa, DNS_V6.parse().unwrap(), None, true);
    });
    assert_eq!(scene.names_of("2001:db8::1"), ["a.test"], "AAAA over IPv6, from a connected socket");
    assert!(look_up("long.test", &|_| {}).truncated);
    assert!(scene.names_of("10.1.0.2").is_empty());
    look_up("long.test", &|l| l.transport = Transport::Tcp);
    assert_eq!(scene.names_of("10.1.0.2"), ["long.test"], "TCP");
    look_up("plain.test", &|_| {});
    assert_eq!(scene.names_of("10.1.0.3"), ["plain.test"], "without compression");
}

#[test]
fn a_forged_answer_teaches_nothing() {
    let scene = Scene::new();
    scene.zone.set(
        "id.test",
        Answer::raw(|query| {
            let mut forged = query.reply().address(300, VICTIM);
            forged.id ^= 1;
            vec![forged.build(), answer(query)]
        }),
    );
    scene.zone.set(
        "name.test",
        Answer::raw(|query| {
            let mut forged = query.reply();
            forged.name = "other.test".into();
            vec![cut_off(forged.address(300, VICTIM).build()), answer(query)]
        }),
    );
    scene.zone.set(
        "type.test",
        Answer::raw(|query| {
            let mut forged = query.reply();
            forged.kind = AAAA;
            vec![cut_off(forged.address(300, VICTIM).build()), answer(query)]
        }),
    );
    // The true server is silent, so the socket waits for whoever speaks first.
    let heard: Arc<Mutex<Option<Query>>> = Arc::default();
    let ear = Arc::clone(&heard);
    scene.zone.set(
        "wait.test",
        Answer::raw(move |query| {
            *ear.lock().unwrap() = Some(query.clone());
            Vec::new()
        }),
    );
    scene.zone.set("quiet.test", Answer::Silence);
    let _daemon = scene.attach(&["--default-rate", PLENTY]);
    let (mut client, mut bystander, scene_of) = (scene.client(), scene.client(), &scene);
    for name in ["id.test", "name.test", "type.test"] {
        client.resolve(name, DNS);
    }
    for (round, (from, to_port)) in (1..).zip([("10.0.0.54:53", 4001), (DNS, 4002), ("10.0.0.53:54", 4001)]) {
        *heard.lock().unwrap() = None;
        let bound = |name, port: u16| {
            let mut lookup = Lookup::new(name, DNS.parse().unwrap());
            lookup.bind = Some(([10, 0, 0, 1], port).into());
            lookup
        };
        thread::scope(|scope| {
            // Two sockets of the cgroup wait, each for the answer to its own question.
            let asking = scope.spawn(|| client.look_up(bound("wait.test", 4001)));
            let other = scope.spawn(|| bystander.look_up(bound("quiet.test", 4002)));
            let query = loop {
                let both_wait = scene_of.zone.asked("quiet.test", A) == round;
                if let Some(query) = heard.lock().unwrap().clone().filter(|_| both_wait) {
                    break query;
                }
                thread::sleep(Duration::from_millis(1));
            };
            let forged = query.reply().address(300, VICTIM).build();
            forge(&scene_of.world, from.parse().unwrap(), ([10, 0, 0, 1], to_port).into(), &forged);
            asking.join().unwrap();
            other.join().unwrap();
        });
    }
    assert_eq!(scene.names_of(VICTIM), [""; 0], "not by another id, name, type, socket, host or port");
    assert_eq!(scene.names_of(TRUE), ["id.test", "name.test", "type.test"], "the true answers did");
    // That from another port is no DNS message at all.
    assert_eq!(scene.outbound("/unread/unsolicited"), 5);
}

#[test]
fn a_query_by_udp_has_one_answer() {
    let scene = Scene::new();
    scene.zone.set(
        "twice.test",
        Answer::raw(|query| vec![cut_off(answer(query)), query.reply().address(300, VICTIM).build()]),
    );
    let _daemon = scene.attach(&["--default-rate", PLENTY]);
    let mut client = scene.client();
    for round in 1..=2 {
        client.resolve("twice.test", DNS);
        assert_eq!(scene.names_of(TRUE), ["twice.test"]);
        assert_eq!(scene.names_of(VICTIM), [""; 0], "the second answer to a query");
        assert_eq!(
            (scene.outbound("/events/answers"), scene.outbound("/unread/unsolicited")),
            (round, round)
        );
    }
}

#[test]
fn an_answer_to_somebody_outside_teaches_nothing() {
    let scene = Scene::new();
    scene.name("a.test", &[TRUE]);
    let outside = limiter_tests::cgroup::Cgroup::new();
    let _daemon = scene.attach(&["--default-rate", PLENTY]);
    Client::start(&scene.machine.host, &outside).resolve("a.test", DNS);
    assert_eq!(scene.names_of(TRUE), [""; 0]);
    scene.client().resolve("a.test", DNS);
    assert_eq!(scene.names_of(TRUE), ["a.test"]);
}

#[test]
fn the_daemon_resolves_listed_names_itself() {
    let scene = Scene::with_resolver();
    scene.name("google.com", &[TRUE]);
    let _daemon = scene.attach(&["--default-rate", PLENTY, "--host", "google.com = 1/hour burst 4"]);
    let mut client = scene.client();
    for _ in 0..3000 {
        if !scene.names_of(TRUE).is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(admitted(&mut client, How::Tcp, &["10.1.0.1:9"], 9), 4, "nobody in the cgroup has asked");
}

#[test]
fn the_c_librarys_getaddrinfo_teaches_and_costs_nothing_itself() {
    let scene = Scene::with_resolver();
    scene.name("a.test", &[TRUE, "10.1.0.2", "2001:db8::1"]);
    let sandbox = Sandbox::with_resolver("10.0.0.53");
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 2"]);
    let mut client = Client::start_in(&scene.machine.host, &sandbox, &scene.cgroup);
    for _ in 0..5 {
        assert!(!client.getaddrinfo("a.test", 9).addresses.is_empty());
    }
    assert_eq!(scene.counts("a.test"), (0, 0), "it connects to sort addresses");
    assert_eq!(admitted(&mut client, How::Tcp, &["10.1.0.1:9", "10.1.0.2:9", "[2001:db8::1]:9"], 9), 2);
}

#[test]
fn lookups_have_a_limit_of_their_own() {
    let scene = Scene::new();
    scene.name("a.test", &[TRUE]);
    scene.name("b.test", &["10.1.0.2"]);
    let _daemon = scene.attach(&["--default-rate", "1000/s, lookups 1/hour burst 3"]);
    let mut client = scene.client();
    let answered =
        |client: &mut Client, name: &str| (0..6).filter(|_| client.resolve(name, DNS).errno == 0).count();
    assert_eq!((answered(&mut client, "a.test"), answered(&mut client, "b.test")), (3, 3));
    assert_eq!(scene.outbound("/rules/0/refused/lookups"), 6);
    assert_eq!(admitted(&mut client, How::Tcp, &["10.1.0.1:9"], 5), 5, "connections are not lookups");
}

#[test]
fn packets_and_bytes_are_limited_over_a_connections_whole_life() {
    let scene = Scene::new();
    scene.name("packets.test", &["10.1.0.3"]);
    scene.name("bytes.test", &["10.1.0.4"]);
    scene.name("free.test", &["10.1.0.5"]);
    let _daemon = scene.attach(&[
        "--default-rate",
        PLENTY,
        "--host",
        "packets.test = packets 1/hour burst 20",
        "--host",
        "bytes.test = bytes 64 kbytes/day burst 64 kbytes",
    ]);
    let mut client = scene.client();
    let mut send = |name: &str, to: &str, times| {
        client.resolve(name, DNS);
        client.connect_send(How::Udp, to, times)
    };
    send("free.test", "10.1.0.5:7", 100);
    send("packets.test", "10.1.0.3:7", 100);
    send("bytes.test", "10.1.0.4:7", 5000);
    assert_eq!(scene.outbound("/rules/0/refused/packets") + scene.outbound("/rules/0/refused/bytes"), 0);
    assert_eq!(scene.outbound("/rules/1/refused/packets"), 80);
    // Each datagram is a byte behind 28 bytes of headers.
    let passed = 5000 - scene.outbound("/rules/2/refused/bytes");
    assert!((2250..=2270).contains(&passed), "{passed} of 29 bytes in 64 KiB");
}

#[test]
fn a_killed_daemon_leaves_its_limits_and_detach_removes_them() {
    let scene = Scene::new();
    scene.name("a.test", &[TRUE]);
    let daemon = scene.attach(&["--default-rate", "1/hour burst 3"]);
    let mut client = scene.client();
    client.resolve("a.test", DNS);
    assert_eq!(admitted(&mut client, How::Tcp, &["10.1.0.1:9"], 2), 2);
    drop(daemon.signal(nix::sys::signal::Signal::SIGKILL));
    assert_eq!(admitted(&mut client, How::Tcp, &["10.1.0.1:9"], 9), 1, "the rest of the burst");
    assert_eq!(scene.counts("a.test"), (3, 8));
    assert_eq!(scene.why("a.test")["refused"], true);
    assert_eq!(scene.machine.limiterctl(&["detach"]).code, 0);
    assert_eq!(admitted(&mut client, How::Tcp, &["10.1.0.1:9"], 9), 9);
    assert!(!scene.machine.has_pins());
}
