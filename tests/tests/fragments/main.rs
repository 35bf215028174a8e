//! Fragments and extension headers by which a SYN might hide from the limiter, against a real stack with a listener.
//!
//! Whatever a sender does to its packets, no connection opens uncounted; and over the limit none opens at all.
//! Each attack says as well whether the kernel falls for it, so that the ones that matter are known to be real.

mod ipv4;
mod ipv6;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use aya::maps::MapData;
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::packet::{Frame, Mac, Parsed, flags};
use limiter_tests::wire::{Capture, Sender};
use limiter_user::bpf::{Pins, Tables};

const MODES: [&str; 2] = ["native", "generic"];
/// Where the limit holds.
const PORT: u16 = 80;
/// Where none does: what is sent there shows that all before has arrived.
const UNRULED: u16 = 81;
const SERVERS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
/// Where all attacks come from. No host has it, so none resets what the server answers.
const SOURCES: [&str; 2] = ["192.0.2.99", "2001:db8::99"];
const SOON: Duration = Duration::from_secs(10);

/// What somebody sends who does not want to be counted.
struct Attack {
    name: String,
    /// Whether the kernel opens a connection.
    opens: bool,
    frames: Frames,
}

/// The frames of an attack, from a TCP port; it serves as the packet's identification, too.
type Frames = Box<dyn Fn(u16) -> Vec<Vec<u8>>>;

fn opens(name: impl Into<String>, frames: impl Fn(u16) -> Vec<Vec<u8>> + 'static) -> Attack {
    Attack { name: name.into(), opens: true, frames: Box::new(frames) }
}

fn fails(name: impl Into<String>, frames: impl Fn(u16) -> Vec<Vec<u8>> + 'static) -> Attack {
    Attack { name: name.into(), opens: false, frames: Box::new(frames) }
}

fn attacks() -> Vec<Attack> {
    [ipv4::attacks(), ipv6::attacks()].into_iter().flatten().collect()
}

/// A server with listeners, its limiter, and somebody who sends frames by hand.
struct Scene {
    server: Machine,
    _client: Host,
    _daemon: Daemon,
    _listeners: Vec<TcpListener>,
    sender: Sender,
    capture: Capture,
}

/// What became of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    /// Whether the listener answered.
    opened: bool,
    /// How many SYNs the limiter counted as passed.
    counted: u64,
}

impl Scene {
    fn new(mode: &str, rate: &str) -> Self {
        // One queue, so that frames arrive in the order in which they are sent.
        let options = LinkOptions { queues: 1, ..LinkOptions::default() };
        let (server, client) = Machine::with_client(options);
        for (address, length) in SERVERS.into_iter().zip([24, 64]) {
            server.host.add_address("eth0", &format!("{address}/{length}"));
        }
        for source in SOURCES {
            server.host.add_neighbour("eth0", source.parse().expect("an address"), Mac::CLIENT);
        }
        let daemon = server.attach(&[
            "--interface",
            "eth0",
            "--port",
            "80",
            "--rate",
            rate,
            "--action",
            "drop",
            "--xdp-mode",
            mode,
        ]);
        let ports = SERVERS.into_iter().flat_map(|server| [PORT, UNRULED].map(|port| (server, port)));
        let listeners = server.host.run(|| ports.map(|(server, port)| listen(server, port)).collect());
        let (sender, capture) = (Sender::open(&client, "eth0"), Capture::open(&client, "eth0"));
        Self { server, _client: client, _daemon: daemon, _listeners: listeners, sender, capture }
    }

    /// Sends an attack from a port that was not used before.
    #[track_caller]
    fn attack(&self, attack: &Attack, port: u16) -> Outcome {
        let before = self.counted();
        for frame in (attack.frames)(port) {
            self.sender.send(&frame);
        }
        let [source, server] = [SOURCES[0], SERVERS[0]];
        self.sender.send(&Frame::ipv4(source, server).tcp(port, UNRULED).syn().build());
        let mut opened = false;
        let all = self.capture.find(SOON, |frame| {
            let answer = Parsed::tcp(&frame.bytes)
                .filter(|tcp| !frame.outgoing && tcp.flags == flags::SYN | flags::ACK)?;
            opened |= (answer.source_port, answer.destination_port) == (PORT, port);
            ((answer.source_port, answer.destination_port) == (UNRULED, port)).then_some(())
        });
        assert!(all.is_some(), "{}: the frame after it is never answered", attack.name);
        Outcome { opened, counted: self.counted() - before }
    }

    fn counted(&self) -> u64 {
        self.server.sandbox.run(|| {
            let tables = Tables::<MapData>::pinned(&Pins::locate()).expect("the maps are pinned");
            tables.rule(1).expect("the counters can be read").passed
        })
    }
}

fn listen(server: &str, port: u16) -> TcpListener {
    let address = SocketAddr::new(server.parse().expect("an address"), port);
    TcpListener::bind(address).expect("a free port")
}

#[test]
fn no_connection_opens_uncounted() {
    for mode in MODES {
        let scene = Scene::new(mode, "1000/s burst 1000");
        let mut uncounted = Vec::new();
        for (port, attack) in (1_000..).zip(attacks()) {
            let outcome = scene.attack(&attack, port);
            println!("{mode}: {outcome:?}: {}", attack.name);
            if u64::from(outcome.opened) > outcome.counted {
                uncounted.push(attack.name);
            } else {
                assert_eq!(outcome.opened, attack.opens, "{mode}: what this kernel makes of {}", attack.name);
            }
        }
        assert!(uncounted.is_empty(), "{mode}: these open connections that nobody counts: {uncounted:#?}");
    }
}

/// The parser ends after eight extension headers, Linux does not. What is deeper passes, and is never silent.
#[test]
fn behind_nine_extension_headers_a_syn_passes_and_is_counted_as_what_it_is() {
    for mode in MODES {
        let scene = Scene::new(mode, "1/hour burst 1");
        assert_eq!(
            scene.attack(&ipv6::behind_options(9), 1_000),
            Outcome { opened: true, counted: 0 },
            "{mode}"
        );
        assert_eq!(scene.server.status()["skipped"]["too_many_extensions"], 1, "{mode}");
    }
}

#[test]
fn over_the_limit_no_connection_opens() {
    for mode in MODES {
        let scene = Scene::new(mode, "1/hour burst 1");
        for (family, whole) in [ipv4::whole(), ipv6::whole()].iter().enumerate() {
            let outcome = scene.attack(whole, 900 + family as u16);
            assert_eq!(
                outcome,
                Outcome { opened: true, counted: 1 },
                "{mode}: the first is within the limit"
            );
        }
        let opened = (1_000..)
            .zip(attacks())
            .filter(|(port, attack)| scene.attack(attack, *port) != Outcome { opened: false, counted: 0 });
        let names: Vec<_> = opened.map(|(_, attack)| attack.name).collect();
        assert!(names.is_empty(), "{mode}: these open connections, or are counted as passed: {names:#?}");
    }
}
