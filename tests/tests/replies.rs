//! Refused clients: their own kernels must believe the RST, at once.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::{Mac, Parsed, checksums_ok, flags};
use limiter_tests::wire::{Capture, Sender};
use socket2::{Domain, Socket, Type};

const MODES: [&str; 2] = ["native", "generic"];
const FAMILIES: [Family; 2] = [
    Family { server: "192.0.2.1", client: "192.0.2.2", length: 24 },
    Family { server: "2001:db8::1", client: "2001:db8::2", length: 64 },
];
const PORT: u16 = 80;
const QUICK: Duration = Duration::from_millis(10);

struct Family {
    server: &'static str,
    client: &'static str,
    length: u8,
}

impl Family {
    fn server(&self) -> SocketAddr {
        SocketAddr::new(self.server.parse().expect("an address"), PORT)
    }
}

/// A client and a server, on one link, with both families.
fn scene() -> (Machine, Host) {
    let (server, client) = Machine::with_client(LinkOptions::default());
    for family in &FAMILIES {
        server.host.add_address("eth0", &format!("{}/{}", family.server, family.length));
        client.add_address("eth0", &format!("{}/{}", family.client, family.length));
    }
    (server, client)
}

/// One connection an hour for each family's source; the listener is real.
fn attach(server: &Machine, mode: &str) -> (Daemon, Vec<TcpListener>) {
    let daemon =
        server.attach(&["--interface", "eth0", "--port", "80", "--rate", "1/h burst 1", "--xdp-mode", mode]);
    let listen = |family: &Family| TcpListener::bind(family.server()).expect("a free port");
    (daemon, server.host.run(|| FAMILIES.iter().map(listen).collect()))
}

#[test]
fn a_refused_connect_fails_at_once_with_connection_refused() {
    for mode in MODES {
        let (server, client) = scene();
        let _attached = attach(&server, mode);
        for family in &FAMILIES {
            let capture = Capture::open(&client, "eth0");
            let first = client.run(|| TcpStream::connect(family.server()));
            assert!(first.is_ok(), "{mode}: within the limit: {first:?}");
            for _ in 0..20 {
                let error = client.run(|| TcpStream::connect(family.server())).expect_err("over the limit");
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{mode}: {error}");
            }
            let delays = delays(&capture, 20);
            let quickest = delays.iter().min().expect("twenty");
            assert!(*quickest < QUICK, "{mode}: the quickest of {delays:?}");
        }
        let rule = &server.status()["rules"][0];
        assert_eq!((&rule["passed"], &rule["resets"]), (&2.into(), &40.into()), "{mode}: {rule}");
    }
}

/// From SYN to RST, by the kernel's time stamps; each RST is checked on its way.
fn delays(capture: &Capture, count: usize) -> Vec<Duration> {
    let mut sent = Vec::new();
    let mut delays = Vec::new();
    while delays.len() < count {
        let frame = capture.next(Duration::from_secs(10)).expect("as many RSTs as were refused");
        let Some(segment) = Parsed::tcp(&frame.bytes) else { continue };
        if frame.outgoing && segment.flags & (flags::SYN | flags::ACK) == flags::SYN {
            sent.push((segment.source_port, frame.at_ns));
        } else if segment.flags & flags::RST != 0 && !frame.outgoing {
            assert!(checksums_ok(&frame.bytes), "a wrong checksum: {segment:?}");
            let (_, at) =
                sent.iter().rev().find(|(port, _)| *port == segment.destination_port).expect("its SYN");
            delays.push(Duration::from_nanos(frame.at_ns.saturating_sub(*at)));
        }
    }
    delays
}

/// TCP Fast Open: the SYN carries data, and the RST acknowledges it.
#[test]
fn a_refused_syn_with_data_is_answered_as_well() {
    const FAST_OPEN_WITHOUT_COOKIE: &str = "5"; // client, and send data without having asked for a cookie
    for mode in MODES {
        let (server, client) = scene();
        let _attached = attach(&server, mode);
        client
            .run(|| std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN_WITHOUT_COOKIE))
            .expect("root");
        for family in &FAMILIES {
            client.run(|| TcpStream::connect(family.server())).expect("the first is within the limit");
            let capture = Capture::open(&client, "eth0");
            let result = client.run(|| {
                let socket = Socket::new(Domain::for_address(family.server()), Type::STREAM, None)?;
                socket.send_to_with_flags(
                    b"GET / HTTP/1.0\r\n\r\n",
                    &family.server().into(),
                    nix::libc::MSG_FASTOPEN,
                )
            });
            let error = result.expect_err("over the limit");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{mode}: {error}");
            let (mut syn, mut reset) = (None, None);
            while let (true, Some(frame)) = (reset.is_none(), capture.next(Duration::from_secs(10))) {
                match Parsed::tcp(&frame.bytes) {
                    Some(segment) if segment.flags & flags::SYN != 0 => syn = Some(segment),
                    Some(segment) if segment.flags & flags::RST != 0 => reset = Some(segment),
                    _ => {}
                }
            }
            let (syn, reset) = (syn.expect("a SYN"), reset.expect("an RST"));
            assert_eq!(syn.payload.len(), 18, "{mode}: the SYN carries the request");
            assert_eq!(reset.ack, syn.seq.wrapping_add(19), "{mode}");
        }
    }
}

/// There are no VLAN interfaces here, so a bridge of our own puts tags on the client's frames and takes them off the
/// server's. The client's kernel sees the RST itself, so it must be right under the tags.
#[test]
fn a_refused_connect_under_vlan_tags_fails_at_once_too() {
    for mode in MODES {
        for tags in [&[0x8100][..], &[0x88a8, 0x8100], &[0x88a8, 0x8100, 0x8100, 0x8100]] {
            let (server, switch, client) = (Machine::new("server"), Host::new("switch"), Host::new("client"));
            link(&client, "eth0", &switch, "client0", LinkOptions::default());
            link(&switch, "server0", &server.host, "eth0", LinkOptions::default());
            let _daemon = server.attach(&[
                "--interface",
                "eth0",
                "--port",
                "80",
                "--rate",
                "1/h burst 1",
                "--xdp-mode",
                mode,
            ]);
            let bridge = Bridge::between(&switch, tags);
            for family in &FAMILIES {
                client.add_address("eth0", &format!("{}/{}", family.client, family.length));
                let server: IpAddr = family.server.parse().expect("an address");
                client.add_neighbour("eth0", server, Mac::SERVER);
                // The server has no such VLAN, so what passes is never answered.
                let wait = Duration::from_millis(200);
                let first = client.run(|| TcpStream::connect_timeout(&family.server(), wait));
                assert_eq!(
                    first.expect_err("nobody answers").kind(),
                    ErrorKind::TimedOut,
                    "{mode} {tags:x?}"
                );
                let second =
                    client.run(|| TcpStream::connect_timeout(&family.server(), Duration::from_secs(10)));
                let error = second.expect_err("over the limit");
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{mode} {tags:x?}: {error}");
            }
            bridge.stop();
        }
    }
}

/// Carries frames between its two interfaces, with tags on those that go to the server.
struct Bridge {
    stop: &'static AtomicBool,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Bridge {
    fn between(switch: &Host, tags: &[u16]) -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::default());
        let carry = |from: &str, to: &str, change: Box<dyn Fn(Vec<u8>) -> Vec<u8> + Send>| {
            let (from, to) = (Capture::open(switch, from), Sender::open(switch, to));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match from.next(Duration::from_millis(50)) {
                        Some(frame) if !frame.outgoing => to.send(&change(frame.bytes)),
                        _ => {}
                    }
                }
            })
        };
        let on: Vec<u8> = tags.iter().flat_map(|tag| [(tag >> 8) as u8, *tag as u8, 0, 7]).collect();
        let off = on.len();
        let threads = vec![
            carry("client0", "server0", Box::new(move |frame| [&frame[..12], &on, &frame[12..]].concat())),
            carry("server0", "client0", Box::new(move |frame| [&frame[..12], &frame[12 + off..]].concat())),
        ];
        Self { stop, threads }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("the bridge carries what it gets");
        }
    }
}
