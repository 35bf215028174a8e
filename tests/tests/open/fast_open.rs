//! TCP Fast Open (RFC 7413): data in the SYN, and a socket on the server before the handshake has ended.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};

use nix::libc::MSG_FASTOPEN;
use socket2::{Domain, Socket, Type};

use super::server::NOTHING;
use super::{PORT, SERVERS, Scene, Server};
use limiter_tests::net::Host;

/// A client sends data in its first SYN without a cookie (1, 4); a server takes it (2, 0x200) on every listener (0x400): the
/// kernel's Documentation/networking/ip-sysctl.rst.
const WITHOUT_COOKIES: &str = "1543";

#[test]
fn a_connection_opened_with_data_in_its_syn_is_held_like_any_other() {
    let scene = Scene::new();
    for host in [&scene.machine.host, &scene.client] {
        host.run(|| fs::write("/proc/sys/net/ipv4/tcp_fastopen", WITHOUT_COOKIES)).unwrap();
    }
    let _daemon = scene.attach(&["--max-open", "3"]);
    let _server = Server::start(&scene.machine.host);
    for (source, prefix) in [("10.1.0.5", "10.1.0.5/32"), ("fd01::5", "fd01::/64")] {
        let before = passive(&scene.machine.host);
        let mut open: Vec<_> = (0..3).map(|_| open_with_data(&scene, source)).collect();
        assert_eq!(passive(&scene.machine.host) - before, 3, "the server took data with each SYN");
        scene.is_refused(source);
        scene.agree_on(prefix, 3);
        open.pop();
        open.push(scene.admitted_at_last(source));
        scene.is_refused(source);
        drop(open);
        scene.agree_on(prefix, 0);
    }
    assert_eq!(
        scene.machine.status()["connections"]["events"]["healed"],
        0,
        "each was seen when it happened"
    );
}

fn open_with_data(scene: &Scene, source: &str) -> TcpStream {
    let source: IpAddr = source.parse().unwrap();
    let server = if source.is_ipv4() { SERVERS[0] } else { SERVERS[1] };
    let server = SocketAddr::new(server.parse().unwrap(), PORT);
    scene.client.run(|| {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        assert_eq!(socket.send_to_with_flags(&[NOTHING], &server.into(), MSG_FASTOPEN).unwrap(), 1);
        socket.into()
    })
}

/// How many connections a host has accepted with data in their SYN.
fn passive(host: &Host) -> u64 {
    let text = host.run(|| fs::read_to_string("/proc/thread-self/net/netstat")).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let (_, value) = names.zip(values).find(|(name, _)| *name == "TCPFastOpenPassive").unwrap();
    value.parse().unwrap()
}
