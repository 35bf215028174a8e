//! What a client that keeps to its limit feels of a flood.

use std::hint;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use limiter_tests::bpf;
use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions, connect_from, link};
use limiter_tests::packet::Frame;
use limiter_tests::stream::{Flood, Sources};
use limiter_tests::wire::{pin, sleep_until};
use nix::net::if_::if_nametoindex;

use crate::measure::Measured;
use crate::report::{Bound, Check, Section};

const SERVER: &str = "192.0.2.1";
/// An interface that nothing goes over.
const SPARE: &str = "spare0";
/// Where the flood comes in.
const FLOODED: &str = "eth1";
const CLIENTS: u8 = 50;
/// Connects a round, of all clients in turn.
const CONNECTS: usize = 5_000;
/// Forged SYNs at a time, and how often: a million a second.
const CHUNK: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(2);
/// A SYN that is lost is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(5);

const NAMES: [&str; 6] = [
    "connect, quiet: median",
    "connect, quiet: p99",
    "connect, the other CPU busy with nothing: median",
    "connect, the other CPU busy with nothing: p99",
    "connect, 1,000,000 forged SYNs/s: median",
    "connect, 1,000,000 forged SYNs/s: p99",
];

/// A server behind limiterctl, and a host with all the clients' addresses.
struct Scene {
    server: Machine,
    client: Host,
    flood: Flood,
    _attached: OwnedFd,
}

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    let scene = Scene::new();
    let listener = scene.server.host.run(|| TcpListener::bind((SERVER, 80)))?;
    thread::spawn(move || listener.incoming().for_each(drop));
    let _daemon = scene.server.attach(&[
        "--interface",
        &format!("eth0,{FLOODED}"),
        "--port",
        "80",
        "--rate",
        "100000/s burst 100000",
        "--strangers-rate",
        "100/s burst 100",
        "--action",
        "drop",
    ]);
    let mut samples = [const { Vec::new() }; 6];
    let (mut failed, mut sent, mut time) = (0, 0, Duration::ZERO);
    // The first connects make the clients known.
    scene.connects();
    for round in 1..=rounds {
        eprint!("\r  round {round} of {rounds} ");
        let quiet = scene.connects();
        let beside = scene.while_spinning(Scene::connects);
        let start = Instant::now();
        let (flooded, count) = scene.while_flooded(Scene::connects);
        (sent, time) = (sent + count, time + start.elapsed());
        for (place, connects) in [quiet, beside, flooded].iter().enumerate() {
            samples[2 * place].push(connects.at(0.5));
            samples[2 * place + 1].push(connects.at(0.99));
            failed += connects.failed;
        }
    }
    eprintln!();
    let rate = sent as f64 / time.as_secs_f64();
    let seen = scene.refused()?;
    ensure!(seen * 10 >= sent * 9, "of {sent} forged SYNs only {seen} came to be refused");

    let measured = NAMES.iter().zip(samples);
    let measured = measured.map(|(name, samples)| Measured { name: (*name).into(), unit: "us", samples });
    let mut section = Section {
        name: "felt",
        title: "What a client feels of a flood",
        how: "Fifty clients open connections in turn, each known from an earlier handshake, first alone, then beside a CPU that is busy with nothing, and then while forged \
              SYNs from 2^25 sources come in on the other CPU, as from another queue, by live frames over a veth. Both are judged \
              by the same program and the same tables.",
        measured: measured.collect(),
        checks: Vec::new(),
        notes: Vec::new(),
    };
    let total = 3 * rounds * CONNECTS;
    let share = (total - failed) as f64 / total as f64;
    section.checks.push(Check::new("P11", "connects that succeed / all", share, Bound::AtLeast(0.99)));
    section.hold_median("P11", NAMES[5], NAMES[1], Bound::AtMost(1.2));
    section.hold_median("P11", NAMES[5], NAMES[3], Bound::AtMost(1.2));
    section.checks.push(Check::new("P11", "forged SYNs a second", rate, Bound::AtLeast(900_000.0)));
    Ok(section)
}

impl Scene {
    fn new() -> Self {
        let (server, client) = (Machine::new("server"), Host::new("client"));
        // A NIC has an interrupt and a CPU for each queue. Here a queue belongs to the CPU that last put something into it, so
        // the flood gets an interface of its own.
        for interface in ["eth0", FLOODED] {
            link(&client, interface, &server.host, interface, LinkOptions::default());
        }
        server.host.add_address("eth0", &format!("{SERVER}/24"));
        for number in 0..CLIENTS {
            client.add_address("eth0", &format!("{}/24", address(number)));
        }
        let syn = Frame::ipv4("192.0.2.2", SERVER).tcp(40_000, 80).syn().build();
        let sources = Sources { first: Ipv4Addr::new(32, 0, 0, 0), bits: 25 };
        let flood = Flood::new(&client, FLOODED, &syn, sources);
        // Attached anywhere, it starts without a wait of some ticks (see `wire::line`).
        client.ip(&format!("link add name {SPARE} type veth peer name spare1"));
        let attached = client.run(|| bpf::attach_xdp(&flood, if_nametoindex(SPARE)?));
        let attached = attached.expect("a veth takes a program");
        Self { server, client, flood, _attached: attached }
    }

    fn connects(&self) -> Connects {
        self.client.run(|| {
            pin(1);
            let server = (SERVER.parse::<Ipv4Addr>().expect("an address"), 80).into();
            let mut connects = Connects { times: Vec::new(), failed: 0 };
            for number in (0..CLIENTS).cycle().take(CONNECTS) {
                let start = Instant::now();
                match connect_from(address(number).into(), server, PATIENCE) {
                    Ok(_) => connects.times.push(start.elapsed()),
                    Err(_) => connects.failed += 1,
                }
            }
            connects.times.sort();
            connects
        })
    }

    /// Does something in the flood; says how many were sent as well.
    fn while_flooded<T: Send>(&self, something: impl Fn(&Self) -> T + Sync) -> (T, u64) {
        let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let done = thread::scope(|scope| {
            scope.spawn(|| {
                self.client.run(|| {
                    pin(0);
                    let mut next = limiter_tests::wire::monotonic_ns();
                    while !is_over.load(Ordering::Relaxed) {
                        self.flood.send(CHUNK);
                        sent.fetch_add(CHUNK.into(), Ordering::Relaxed);
                        next += PAUSE.as_nanos() as u64;
                        sleep_until(next);
                    }
                });
            });
            let done = something(self);
            is_over.store(true, Ordering::Relaxed);
            done
        });
        (done, sent.into_inner())
    }

    /// Does something while the other CPU counts to no end: on a virtual machine the two may be one core.
    fn while_spinning<T: Send>(&self, something: impl Fn(&Self) -> T + Sync) -> T {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                pin(0);
                while !is_over.load(Ordering::Relaxed) {
                    hint::black_box(0);
                }
            });
            let done = something(self);
            is_over.store(true, Ordering::Relaxed);
            done
        })
    }

    fn refused(&self) -> anyhow::Result<u64> {
        let status = self.server.status();
        status["rules"][0]["refused"]["strangers"].as_u64().context("status has no strangers")
    }
}

/// What came of connecting: how long it took, in order.
struct Connects {
    times: Vec<Duration>,
    failed: usize,
}

impl Connects {
    /// Microseconds, of the one at this share of all.
    fn at(&self, share: f64) -> f64 {
        let place = (self.times.len() as f64 * share) as usize;
        self.times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 10 + number)
}
