//! Every way to a destination is counted, once; and nothing else is.

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::{How, Sockets};
use nix::errno::Errno;

use crate::{DNS, EDQUOT, EPERM, PLENTY, Scene, admitted};

const ALL: [How; 9] = [
    How::Tcp,
    How::TcpNonblocking,
    How::Fastopen,
    How::FastopenConnect,
    How::Mptcp,
    How::Mapped,
    How::Udp,
    How::UdpMapped,
    How::Ping,
];

#[test]
fn every_way_to_connect_is_counted_once_and_refused_alike() {
    let scene = Scene::new();
    for i in 0..ALL.len() {
        scene.name(&format!("n{i}.test"), &[&format!("10.1.0.{}", i + 1)]);
    }
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 3"]);
    let mut client = scene.client();
    for (i, how) in ALL.into_iter().enumerate() {
        client.resolve(&format!("n{i}.test"), DNS);
        let to = format!("10.1.0.{}:9", i + 1);
        let errors: Vec<_> = (0..6).map(|_| client.connect(how, &to).errno == EDQUOT).collect();
        assert_eq!(errors, [false, false, false, true, true, true], "{how:?}");
        assert_eq!(scene.counts(&format!("n{i}.test")), (3, 3), "{how:?}");
    }
}

/// These meet no hook before their packet is on its way. There the error is always EPERM, if the kernel passes one on.
#[test]
fn ways_around_connect_and_sendmsg_are_counted_as_well() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 3"]);
    let mut client = scene.client();
    let mut seen = 0;
    for (i, how) in (1..).zip([How::UdpLite, How::PingTo, How::Raw]) {
        for to in [format!("10.1.0.{i}:9"), format!("[2001:db8::{i}]:9")] {
            let errors: Vec<_> = (0..6).map(|_| client.connect(how, &to).errno).collect();
            let is_told = !(how == How::PingTo && to.starts_with('['));
            let refusal = if is_told { EPERM } else { 0 };
            assert_eq!(errors, [0, 0, 0, refusal, refusal, refusal], "{how:?} {to}");
            seen += 3;
            assert_eq!(scene.outbound("/rules/0/allowed"), seen, "{how:?} {to}");
            assert_eq!(scene.outbound("/rules/0/refused/rate"), seen, "{how:?} {to}");
        }
    }
}

#[test]
fn sorting_addresses_costs_nothing_and_is_refused_like_the_rest() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 2"]);
    let mut client = scene.client();
    let mut ask = |to: &str| client.connect_send(How::Udp, to, 0).connect.result();
    for _ in 0..9 {
        assert_eq!(ask("10.1.0.1:9"), Ok(()));
    }
    assert_eq!(admitted(&mut scene.client(), How::Tcp, &["10.1.0.1:9"], 5), 2);
    assert_eq!(ask("10.1.0.1:9"), Err(Errno::EDQUOT));
    assert_eq!(ask("10.1.0.2:9"), Ok(()), "another address");
}

#[test]
fn a_udp_socket_is_one_connection_however_much_it_sends() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 3"]);
    let mut client = scene.client();
    for (how, to) in [(How::Udp, "10.1.0.1:9"), (How::UdpMapped, "10.1.0.2:9")] {
        assert_eq!(client.send_to(how, to, 50, Sockets::Same).ok, 50, "{how:?}");
        let sent = client.connect_send(how, to, 50);
        assert_eq!((sent.connect.result(), sent.sends.ok), (Ok(()), 50), "{how:?}");
        let each = client.send_to(how, to, 5, Sockets::New);
        assert_eq!((each.ok, each.failed["EDQUOT"]), (1, 4), "the third of three, {how:?}");
        assert_eq!(client.connect_send(how, to, 1).connect.result(), Err(Errno::EDQUOT), "{how:?}");
    }
}

#[test]
fn ipv6_is_limited_as_ipv4_is() {
    let scene = Scene::new();
    scene.name("six.test", &["2001:db8::1"]);
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 3"]);
    let mut client = scene.client();
    let mut lookup = limiter_tests::client::protocol::Lookup::new("six.test", crate::DNS_V6.parse().unwrap());
    lookup.kind = limiter_tests::client::protocol::Kind::Aaaa;
    assert_eq!(client.look_up(lookup).addresses.len(), 1);
    assert_eq!(admitted(&mut client, How::Tcp, &["[2001:db8::1]:9"], 2), 2);
    let sent = client.send_to(How::Udp, "[2001:db8::1]:9", 5, Sockets::New);
    assert_eq!((sent.ok, sent.failed["EDQUOT"]), (1, 4));
    assert_eq!(scene.counts("six.test"), (3, 4));
}

#[test]
fn port_0_loopback_name_servers_and_exempt_networks_cost_nothing() {
    let scene = Scene::with_resolver();
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 1", "--exempt", "10.1.7.0/24"]);
    let mut client = scene.client();
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.1:0"], 20), 20, "getaddrinfo() asks so for a route");
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.1:9"], 20), 1);
    for exempt in ["127.0.0.1:9", "127.9.9.9:9", "[::1]:9", "10.0.0.53:53", "10.1.7.1:9"] {
        assert_eq!(admitted(&mut client, How::Udp, &[exempt], 20), 20, "{exempt}");
        assert_eq!(admitted(&mut client, How::Tcp, &[exempt], 20), 20, "{exempt}");
    }
    assert_eq!(scene.why("127.0.0.1")["exempt"], true);
}

#[test]
fn a_rule_may_list_what_is_exempt() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--default-rate", PLENTY, "--host", "127.0.0.0/8 = 1/hour burst 2"]);
    assert_eq!(admitted(&mut scene.client(), How::Udp, &["127.0.0.1:9"], 9), 2);
}

#[test]
fn only_the_cgroup_its_children_and_who_joins_are_limited() {
    let scene = Scene::new();
    let outside = Cgroup::new();
    let child = scene.cgroup.child("worker");
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 3"]);
    let mut inner = Client::start(&scene.machine.host, &child);
    assert_eq!(admitted(&mut inner, How::Tcp, &["10.1.0.1:9"], 9), 3, "a child is limited");
    let mut stranger = Client::start(&scene.machine.host, &outside);
    assert_eq!(admitted(&mut stranger, How::Tcp, &["10.1.0.1:9"], 9), 9, "nobody else is");
    scene.cgroup.adopt(stranger.pid());
    assert_eq!(admitted(&mut stranger, How::Tcp, &["10.1.0.1:9"], 9), 0, "who joins later is");
}

#[test]
fn monitor_mode_counts_and_refuses_nothing() {
    let scene = Scene::new();
    scene.name("a.test", &["10.1.0.1"]);
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 3", "--monitor"]);
    let mut client = scene.client();
    client.resolve("a.test", DNS);
    assert_eq!(admitted(&mut client, How::Tcp, &["10.1.0.1:9"], 9), 9);
    assert_eq!(scene.counts("a.test"), (3, 6));
    assert_eq!(scene.machine.status()["mode"], "monitor");
}

#[test]
fn the_error_is_the_one_that_was_asked_for() {
    for (name, errno) in [
        ("EPERM", Errno::EPERM),
        ("EACCES", Errno::EACCES),
        ("ECONNREFUSED", Errno::ECONNREFUSED),
        ("EHOSTUNREACH", Errno::EHOSTUNREACH),
    ] {
        let scene = Scene::new();
        let _daemon = scene.attach(&["--default-rate", "1/hour burst 1", "--errno", name]);
        let mut client = scene.client();
        assert_eq!(client.connect(How::Udp, "10.1.0.1:9").result(), Ok(()));
        assert_eq!(client.connect(How::Udp, "10.1.0.1:9").result(), Err(errno));
        let sent = client.send_to(How::Udp, "10.1.0.1:9", 1, Sockets::New);
        assert_eq!(sent.failed[name], 1);
    }
}
