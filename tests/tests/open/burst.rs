//! Many SYNs before the first is established.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};
use std::os::fd::AsFd as _;

use super::{PATIENCE, Scene, Server};

const MAX: usize = 15;

/// Two threads send SYNs of one source without waiting for an answer to any.
#[test]
fn a_burst_of_connects_never_gets_more_than_allowed() {
    for mode in ["native", "generic"] {
        let scene = Scene::new();
        let _daemon = scene.attach(&["--max-open", &MAX.to_string(), "--xdp-mode", mode]);
        let server = Server::start(&scene.machine.host);
        for round in 1..=20u8 {
            let source: IpAddr = [10, 1, 9, round].into();
            let before = server.accepted();
            let sockets = scene.client.run(|| {
                let both = Barrier::new(2);
                thread::scope(|scope| {
                    let threads = [0, 1].map(|_| scope.spawn(|| burst(source, 50, &both)));
                    threads.map(|thread| thread.join().unwrap()).into_iter().flatten().collect::<Vec<_>>()
                })
            });
            let connected = sockets.iter().filter(|socket| is_connected(socket)).count();
            assert_eq!(connected, MAX, "{mode}, round {round}");
            let begun = Instant::now();
            while server.accepted() - before < MAX && begun.elapsed() < PATIENCE {
                thread::yield_now();
            }
            assert_eq!(server.accepted() - before, MAX, "{mode}, round {round}");
            let counts = scene.agree();
            assert_eq!(counts[&format!("{source}/32")], MAX as u64, "{mode}: {counts:?}");
        }
    }
}

fn burst(source: IpAddr, count: usize, both: &Barrier) -> Vec<Socket> {
    let server = "10.0.0.1:80".parse::<SocketAddr>().unwrap().into();
    let socket = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let sockets: Vec<_> = (0..count).map(socket).collect();
    both.wait();
    for socket in &sockets {
        match socket.connect(&server) {
            Ok(()) => {}
            Err(error) => assert!(
                error.raw_os_error() == Some(nix::libc::EINPROGRESS)
                    || error.kind() == ErrorKind::ConnectionRefused,
                "{error}"
            ),
        }
    }
    sockets
}

fn is_connected(socket: &Socket) -> bool {
    let timeout = PollTimeout::try_from(PATIENCE).unwrap();
    // One that was refused at once is ready, and has no peer.
    assert_eq!(poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], timeout), Ok(1));
    socket.peer_addr().is_ok()
}

/// Handshakes that never end hold their places for two windows of 2.1 seconds at the most.
#[test]
fn pending_handshakes_count_and_are_forgotten() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "15"]);
    let _server = Server::start(&scene.machine.host);
    let sender = Sender::open(&scene.client, "eth0");
    let destination = scene.machine.host.mac("eth0");
    // This source has no route back, so nobody answers the SYN-ACKs.
    for port in 1..=40 {
        let frame = Frame::ipv4("10.9.0.1", "10.0.0.1").macs(scene.client.mac("eth0"), destination);
        sender.send(&frame.tcp(port, 80).syn().build());
    }
    let begun = Instant::now();
    while judged(&scene) < 40 && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    let rule = scene.rule();
    // Forty packets may lie on both sides of a window's end, but not of two.
    assert_eq!((&rule["passed"], &rule["refused"]["open"]), (&15.into(), &25.into()), "{rule}");
    assert_eq!(rule["open"], 0, "{rule}");
    let mut port = 1000;
    while scene.rule()["passed"] == 15 {
        assert!(begun.elapsed() < PATIENCE, "they are never forgotten: {}", scene.rule());
        let frame = Frame::ipv4("10.9.0.1", "10.0.0.1").macs(scene.client.mac("eth0"), destination);
        sender.send(&frame.tcp(port, 80).syn().build());
        port += 1;
        thread::sleep(Duration::from_millis(50));
    }
    println!("forgotten after {:?}", begun.elapsed());
}

fn judged(scene: &Scene) -> u64 {
    let rule = scene.rule();
    rule["passed"].as_u64().unwrap() + rule["refused"]["open"].as_u64().unwrap()
}
