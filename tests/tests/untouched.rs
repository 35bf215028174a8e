//! What the limiter has no business with: other sources, other ports, and everything that is not a SYN.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;

const MODES: [&str; 2] = ["native", "generic"];
const MEGABYTE: usize = 1 << 20;
const MEGABYTES: usize = 100;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[derive(Debug, Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// Host number `n`, each in a source prefix of its own.
    fn host(self, n: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(192, 0, 2, n).into(),
            Self::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, n.into(), 0, 0, 0, 1).into(),
        }
    }

    fn client(self) -> SocketAddr {
        SocketAddr::new(self.host(2), 0)
    }

    fn server(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.host(1), port)
    }

    fn syn(self, from: u8) -> Frame {
        let (from, to) = (self.host(from).to_string(), self.host(1).to_string());
        match self {
            Self::V4 => Frame::ipv4(&from, &to),
            Self::V6 => Frame::ipv6(&from, &to),
        }
        .tcp(40_000, 80)
        .syn()
    }
}

/// Runs a story in each mode and for each family, one after the other.
fn everywhere(story: impl Fn(&str, Family)) {
    for mode in MODES {
        for family in FAMILIES {
            story(mode, family);
        }
    }
}

fn scene(mode: &str) -> (Machine, Host, limiter_tests::daemon::Daemon) {
    let (server, client) = Machine::with_client(LinkOptions::default());
    for (host, number) in [(&server.host, 1), (&client, 2)] {
        host.add_address("eth0", &format!("{}/24", Family::V4.host(number)));
        host.add_address("eth0", &format!("{}/48", Family::V6.host(number)));
    }
    let daemon =
        server.attach(&["--interface", "eth0", "--port", "80", "--rate", "1/h burst 1", "--xdp-mode", mode]);
    (server, client, daemon)
}

/// Bytes that repeat nowhere near, so that a segment lost, doubled or changed shows in the hash.
fn megabyte(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_ne_bytes()
    };
    (0..MEGABYTE / 8).flat_map(word).collect()
}

fn hash(stream: &mut TcpStream) -> (u64, usize) {
    let (mut hasher, mut total, mut buffer) = (DefaultHasher::new(), 0, vec![0; MEGABYTE]);
    loop {
        match stream.read(&mut buffer).expect("the connection stays up") {
            0 => return (hasher.finish(), total),
            read => {
                // Bytes, not calls, must make the hash.
                for byte in &buffer[..read] {
                    hasher.write_u8(*byte);
                }
                total += read;
            }
        }
    }
}

#[test]
fn a_hundred_megabytes_arrive_as_they_were_sent() {
    everywhere(|mode, family| {
        let (server, client, _daemon) = scene(mode);
        let listener = server.host.run(|| TcpListener::bind(family.server(80)).expect("a free port"));
        let receiver = thread::spawn(move || hash(&mut listener.accept().expect("one client").0));

        let mut stream =
            client.run(|| TcpStream::connect(family.server(80)).expect("the first is within the limit"));
        let mut sent = DefaultHasher::new();
        for number in 0..MEGABYTES {
            let bytes = megabyte(number);
            for byte in &bytes {
                sent.write_u8(*byte);
            }
            stream.write_all(&bytes).expect("the connection stays up");
        }
        drop(stream);
        assert_eq!(
            receiver.join().expect("it hashes"),
            (sent.finish(), MEGABYTES * MEGABYTE),
            "{mode} {family:?}"
        );

        let status = server.status();
        let rule = &status["rules"][0];
        assert_eq!(rule["passed"], 1, "{mode} {family:?}: one SYN: {status}");
        assert!(
            rule["refused"].as_object().expect("reasons").values().all(|count| count == 0),
            "{mode} {family:?}: {status}"
        );
    });
}

#[test]
fn while_one_source_is_refused_others_and_other_ports_are_served() {
    everywhere(|mode, family| {
        let (server, client, _daemon) = scene(mode);
        for number in 10..30 {
            let length = match family {
                Family::V4 => 24,
                Family::V6 => 48,
            };
            client.add_address("eth0", &format!("{}/{length}", family.host(number)));
        }
        let _listeners = server
            .host
            .run(|| [80, 81].map(|port| TcpListener::bind(family.server(port)).expect("a free port")));
        let abuser = family.syn(99).build();
        let sender = Sender::open(&client, "eth0");
        thread::scope(|scope| {
            let flood = scope.spawn(|| sender.flood(&[abuser], 20_000, Duration::from_secs(2), None));
            for number in 10..30 {
                let from = SocketAddr::new(family.host(number), 0);
                for port in [80, 81, 81, 81] {
                    connect_from(&client, from, family.server(port))
                        .unwrap_or_else(|error| panic!("{mode} {from}: {error}"));
                }
            }
            let sent = flood.join().expect("it floods");
            let status = server.status();
            let rule = &status["rules"][0];
            assert_eq!(
                rule["passed"], 21,
                "{mode} {family:?}: twenty clients and the abuser's first: {status}"
            );
            assert_eq!(rule["refused"]["rate"], sent.count - 1, "{mode} {family:?}: {status}");
        });
    });
}

fn connect_from(client: &Host, from: SocketAddr, to: SocketAddr) -> std::io::Result<()> {
    client.run(|| {
        let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
        socket.bind(&from.into())?;
        socket.connect_timeout(&to.into(), Duration::from_secs(10))
    })
}

/// Over its limit, a source can still talk UDP to the port, ping, and use the connection that it has.
#[test]
fn a_refused_source_keeps_everything_but_new_connections() {
    everywhere(|mode, family| {
        let (server, client, _daemon) = scene(mode);
        let listener = server.host.run(|| TcpListener::bind(family.server(80)).expect("a free port"));
        let mut stream =
            client.run(|| TcpStream::connect(family.server(80)).expect("the first is within the limit"));
        let (mut accepted, _) = listener.accept().expect("a client");
        for _ in 0..10 {
            client.run(|| TcpStream::connect(family.server(80))).expect_err("over the limit");
        }

        accepted.write_all(b"still here").expect("the connection stays up");
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).expect("the connection stays up");
        assert_eq!(&answer, b"still here", "{mode} {family:?}");

        let (here, there) = (
            server.host.run(|| UdpSocket::bind(family.server(80)).expect("a free port")),
            client.run(|| UdpSocket::bind(family.client()).expect("a free port")),
        );
        here.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        there.send_to(b"datagram", family.server(80)).expect("it is sent");
        let (read, _) = here.recv_from(&mut answer).expect("it arrives");
        assert_eq!(&answer[..read], b"datagram", "{mode} {family:?}");
        assert_eq!(server.status()["rules"][0]["refused"]["rate"], 10, "{mode} {family:?}");
    });
}
