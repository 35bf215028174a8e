//! Connections that somebody tries to open in pieces, or behind other headers, so that nobody counts them.
//!
//! The listener and the stack in front of it are real: whatever they take for a SYN they answer, and the limiter must
//! have counted it.

use std::net::TcpListener;
use std::time::Duration;

use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::{Extension, Frame, Mac};
use limiter_tests::wire::{Counter, Filter, Sender};

const MODES: [&str; 2] = ["native", "generic"];
const PORT: u16 = 80;
const SERVER_V4: &str = "192.0.2.1";
const SERVER_V6: &str = "2001:db8::1";
const PATIENCE: Duration = Duration::from_secs(30);

/// A way to open a connection.
struct Attempt {
    name: &'static str,
    v6: bool,
    /// What is sent, in order.
    pieces: fn(&str) -> Vec<Frame>,
    /// Whether the kernel is known to fall for it: that the attack is real.
    opens: bool,
}

/// Where attempt number `n` comes from.
fn source(attempt: &Attempt, n: usize) -> String {
    if attempt.v6 { format!("2001:db8::{:x}", 0x100 + n) } else { format!("192.0.2.{}", 10 + n) }
}

fn v4(source: &str) -> Frame {
    Frame::ipv4(source, SERVER_V4)
}

fn v6(source: &str) -> Frame {
    Frame::ipv6(source, SERVER_V6)
}

fn syn4(source: &str) -> Frame {
    v4(source).tcp(40_000, PORT).syn()
}

fn syn6(source: &str) -> Frame {
    v6(source).tcp(40_000, PORT).syn()
}

/// The bytes of a TCP segment with 12 bytes of options, which leave room to cut.
fn segment4(source: &str, flagged: fn(Frame) -> Frame) -> Vec<u8> {
    flagged(v4(source).tcp(40_001, PORT)).options(&[1; 12]).build()[34..].to_vec()
}

fn segment6(source: &str) -> Vec<u8> {
    v6(source).tcp(40_001, PORT).syn().options(&[1; 12]).build()[54..].to_vec()
}

/// A piece of a segment, from `offset` times eight bytes on.
fn piece4(source: &str, segment: &[u8], offset: u16, end: usize) -> Frame {
    let more = end < segment.len();
    v4(source).protocol(6).payload(&segment[usize::from(offset) * 8..end]).id(77).fragment(offset, more)
}

fn piece6(source: &str, segment: &[u8], offset: u16, end: usize) -> Frame {
    let header = Extension::fragment(offset, end < segment.len());
    v6(source).protocol(6).payload(&segment[usize::from(offset) * 8..end]).extension(header)
}

fn chain(source: &str, length: usize) -> Frame {
    (0..length).fold(syn6(source), |frame, _| frame.extension(Extension::destination()))
}

const ATTEMPTS: [Attempt; 22] = [
    Attempt { name: "a plain SYN", v6: false, opens: true, pieces: |s| vec![syn4(s)] },
    Attempt {
        name: "flags in the second fragment (RFC 1858)",
        v6: false,
        opens: true,
        pieces: |s| {
            let syn = segment4(s, Frame::syn);
            vec![piece4(s, &syn, 0, 8), piece4(s, &syn, 1, 32)]
        },
    },
    Attempt {
        name: "flags in the second fragment, which comes first",
        v6: false,
        opens: true,
        pieces: |s| {
            let syn = segment4(s, Frame::syn);
            vec![piece4(s, &syn, 1, 32), piece4(s, &syn, 0, 8)]
        },
    },
    Attempt {
        name: "cut behind the flags",
        v6: false,
        opens: true,
        pieces: |s| {
            let syn = segment4(s, Frame::syn);
            vec![piece4(s, &syn, 0, 16), piece4(s, &syn, 2, 32)]
        },
    },
    Attempt {
        name: "in four pieces, backwards",
        v6: false,
        opens: true,
        pieces: |s| {
            let syn = segment4(s, Frame::syn);
            (0..4).rev().map(|i| piece4(s, &syn, i, usize::from(i) * 8 + 8)).collect()
        },
    },
    Attempt {
        name: "an ACK, then a SYN's flags over it (RFC 3128)",
        v6: false,
        opens: false,
        pieces: |s| {
            let (ack, syn) = (segment4(s, Frame::ack), segment4(s, Frame::syn));
            vec![piece4(s, &ack, 0, 24), piece4(s, &syn, 1, 32)]
        },
    },
    Attempt {
        name: "a SYN's flags, then an ACK over them",
        v6: false,
        opens: false,
        pieces: |s| {
            let (ack, syn) = (segment4(s, Frame::ack), segment4(s, Frame::syn));
            vec![piece4(s, &syn, 1, 32), piece4(s, &ack, 0, 24)]
        },
    },
    Attempt {
        name: "an ACK, the SYN's rest, the ACK's first again",
        v6: false,
        opens: false,
        pieces: |s| {
            let (ack, syn) = (segment4(s, Frame::ack), segment4(s, Frame::syn));
            vec![
                piece4(s, &ack, 0, 16),
                piece4(s, &syn, 1, 32),
                piece4(s, &ack, 0, 16),
                piece4(s, &ack, 2, 32),
            ]
        },
    },
    Attempt {
        name: "the first piece twice",
        v6: false,
        opens: false,
        pieces: |s| {
            let syn = segment4(s, Frame::syn);
            vec![piece4(s, &syn, 0, 8), piece4(s, &syn, 0, 8), piece4(s, &syn, 1, 32)]
        },
    },
    Attempt { name: "IP options", v6: false, opens: true, pieces: |s| vec![syn4(s).ip_options(&[1; 40])] },
    Attempt { name: "one tag of VLAN 0", v6: false, opens: true, pieces: |s| vec![syn4(s).tag(0x8100, 0)] },
    Attempt {
        name: "two tags of VLAN 0",
        v6: false,
        opens: false,
        pieces: |s| vec![syn4(s).tag(0x88a8, 0).tag(0x8100, 0)],
    },
    Attempt { name: "a plain SYN, IPv6", v6: true, opens: true, pieces: |s| vec![syn6(s)] },
    Attempt {
        name: "an atomic fragment",
        v6: true,
        opens: true,
        pieces: |s| vec![syn6(s).extension(Extension::fragment(0, false))],
    },
    Attempt {
        name: "two atomic fragments (CVE-2023-4809)",
        v6: true,
        opens: false,
        pieces: |s| {
            vec![syn6(s).extension(Extension::fragment(0, false)).extension(Extension::fragment(0, false))]
        },
    },
    Attempt {
        name: "flags in the second fragment, IPv6",
        v6: true,
        opens: false,
        pieces: |s| {
            let syn = segment6(s);
            vec![piece6(s, &syn, 0, 8), piece6(s, &syn, 1, 32)]
        },
    },
    Attempt {
        name: "flags in the second fragment, which comes first, IPv6",
        v6: true,
        opens: false,
        pieces: |s| {
            let syn = segment6(s);
            vec![piece6(s, &syn, 1, 32), piece6(s, &syn, 0, 8)]
        },
    },
    Attempt {
        name: "cut behind the header, IPv6",
        v6: true,
        opens: true,
        pieces: |s| {
            let syn = segment6(s);
            vec![piece6(s, &syn, 0, 24), piece6(s, &syn, 3, 32)]
        },
    },
    Attempt {
        name: "hop-by-hop options",
        v6: true,
        opens: true,
        pieces: |s| vec![syn6(s).extension(Extension::hop_by_hop())],
    },
    Attempt {
        name: "hop-by-hop options and no length",
        v6: true,
        opens: false,
        pieces: |s| vec![syn6(s).extension(Extension::hop_by_hop()).payload_length(0)],
    },
    Attempt {
        name: "destination options, eight times",
        v6: true,
        opens: true,
        pieces: |s| vec![chain(s, 8)],
    },
    Attempt {
        name: "destination options and a fragment in two",
        v6: true,
        opens: false,
        pieces: |s| {
            let syn = segment6(s);
            vec![piece6(s, &syn, 0, 16).extension(Extension::destination()), piece6(s, &syn, 2, 32)]
        },
    },
];

/// A server with a listener, and somebody who only sends.
struct Scene {
    server: Machine,
    sender: Sender,
    answers: Counter,
    _client: Host,
    _daemon: limiter_tests::daemon::Daemon,
    _listeners: [TcpListener; 2],
}

impl Scene {
    fn new(mode: &str, rate: &str) -> Self {
        let (server, client) = (Machine::new("server"), Host::new("attacker"));
        link(&client, "eth0", &server.host, "eth0", LinkOptions::default());
        server.host.add_address("eth0", &format!("{SERVER_V4}/24"));
        server.host.add_address("eth0", &format!("{SERVER_V6}/64"));
        for (n, attempt) in ATTEMPTS.iter().enumerate() {
            let address = source(attempt, n).parse().expect("an address");
            server.host.add_neighbour("eth0", address, Mac::CLIENT);
        }
        // An answer that nobody acknowledges is not to be counted twice.
        let once = || std::fs::write("/proc/sys/net/ipv4/tcp_synack_retries", "0").expect("root");
        server.host.run(once);
        let listen = |address| TcpListener::bind((address, PORT)).expect("a free port");
        let listeners = server.host.run(|| [listen(SERVER_V4), listen(SERVER_V6)]);
        let arguments = ["--interface", "eth0", "--port", "80", "--rate", rate, "--source-prefix", "32,128"];
        let daemon = server.attach(&[&arguments[..], &["--action", "drop", "--xdp-mode", mode]].concat());
        Self {
            sender: Sender::open(&client, "eth0"),
            answers: Counter::open(&client, "eth0", Filter::syn_ack_from(PORT)),
            server,
            _client: client,
            _daemon: daemon,
            _listeners: listeners,
        }
    }

    fn passed(&self) -> u64 {
        self.server.status()["rules"][0]["passed"].as_u64().expect("a number")
    }
}

#[test]
fn nothing_opens_a_connection_that_was_not_counted() {
    for mode in MODES {
        let scene = Scene::new(mode, "100/s burst 100");
        for (n, attempt) in ATTEMPTS.iter().enumerate() {
            let (passed, answered) = (scene.passed(), scene.answers.count());
            for frame in (attempt.pieces)(&source(attempt, n)) {
                scene.sender.send(&frame.build());
            }
            if attempt.opens {
                scene.answers.wait_for(answered + 1, PATIENCE);
            }
            let opened = scene.answers.settled() - answered;
            let counted = scene.passed() - passed;
            println!("{mode}, {}: {opened} opened, {counted} counted", attempt.name);
            assert!(opened <= counted, "{mode}, {}: {opened} opened, {counted} counted", attempt.name);
            assert!(
                opened >= u64::from(attempt.opens),
                "{mode}, {}: this kernel opens nothing",
                attempt.name
            );
        }
    }
}

#[test]
fn a_source_that_used_up_its_limit_opens_nothing_in_any_way() {
    for mode in MODES {
        let scene = Scene::new(mode, "1/h burst 1");
        for (n, attempt) in ATTEMPTS.iter().enumerate() {
            let (from, answered) = (source(attempt, n), scene.answers.count());
            let plain = if attempt.v6 { v6(&from) } else { v4(&from) }.tcp(50_000, PORT).syn();
            scene.sender.send(&plain.build());
            scene.answers.wait_for(answered + 1, PATIENCE);
            for frame in (attempt.pieces)(&from) {
                scene.sender.send(&frame.build());
            }
            assert_eq!(scene.answers.settled(), answered + 1, "{mode}, {}", attempt.name);
        }
    }
}
