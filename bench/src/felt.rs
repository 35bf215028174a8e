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
use limiter_tests::wire::{monotonic_ns, pin, sleep_until};
use nix::net::if_::if_nametoindex;

use crate::measure::Measured;
use crate::report::{Bound, Check, Section};

const SERVER: &str = "192.0.2.1";
/// An interface that nothing goes over.
const SPARE: &str = "spare0";
/// Where the flood comes in.
const FLOODED: &str = "eth1";
const CLIENTS: u8 = 50;
/// Connects a round, of all clients in turn: ten of them are over p99.9.
const CONNECTS: usize = 10_000;
/// Forged SYNs at a time: one call of the kernel.
const CHUNK: u32 = 2_000;
/// Forged SYNs a second.
const MILLION: f64 = 1_000_000.0;
/// For so long the flood is let loose to see how much of it the machine can deliver.
const TRIAL: Duration = Duration::from_secs(1);
/// A SYN that is lost is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which shares of the connects are shown, in order of their time.
const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// What the other CPU does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    /// It counts to no end: on a virtual machine the two CPUs may be one core.
    Spinning,
    /// It sends so many forged SYNs a second, or as many as it can.
    Flood(Option<f64>),
}

const QUIET: &str = "connect, quiet";
const SPINNING: &str = "connect, the other CPU busy with nothing";
const FLOODED_BY_A_MILLION: &str = "connect, 1,000,000 forged SYNs/s";
const HALF: &str = "connect, 50 % of the forged SYNs that can be delivered";
const ALL: &str = "connect, 100 % of the forged SYNs that can be delivered";

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
    let most = scene.can_deliver();
    let cases = [
        (QUIET, Beside::Nothing),
        (SPINNING, Beside::Spinning),
        (FLOODED_BY_A_MILLION, Beside::Flood(Some(MILLION))),
        (HALF, Beside::Flood(Some(most / 2.0))),
        (ALL, Beside::Flood(None)),
    ];
    let mut felt = cases.map(|_| Felt::default());
    // The first connects make the clients known.
    scene.connects();
    let before = scene.refused()?;
    for round in 1..=rounds {
        eprint!("\r  round {round} of {rounds} ");
        for ((_, beside), felt) in cases.iter().zip(&mut felt) {
            felt.add(&scene, *beside);
        }
    }
    eprintln!();
    let (sent, seen) = (felt.iter().map(|felt| felt.sent).sum::<u64>(), scene.refused()? - before);
    ensure!(seen * 10 >= sent * 9, "of {sent} forged SYNs only {seen} came to be refused");

    let mut measured = Vec::new();
    for ((case, _), felt) in cases.iter().zip(&felt) {
        for ((share, _), samples) in SHARES.iter().zip(&felt.samples) {
            measured.push(Measured { name: name(case, share), unit: "us", samples: samples.clone() });
        }
    }
    let mut section = Section {
        name: "felt",
        title: "What a client feels of a flood",
        how: "Fifty clients open connections in turn, each known from an earlier handshake, first alone, then beside a CPU \
              that is busy with nothing, and then while forged SYNs from 2^25 sources come in on the other CPU, as from \
              another queue, by live frames over a veth: a million a second, and half and all of what the CPU can make and \
              judge. Both are judged by the same program and the same tables. p99.9 is that of 10,000 connects a round.",
        measured,
        checks: Vec::new(),
        notes: vec![format!(
            "What could be delivered was {most:.0} forged SYNs a second, in a second without clients. Beside clients it was \
             {:.0} at 50 %, {:.0} at 100 %; of all forged SYNs {:.2} % came to be refused.",
            felt[3].rate(),
            felt[4].rate(),
            seen as f64 / sent as f64 * 100.0
        )],
        curves: Vec::new(),
    };
    let total = cases.len() * rounds * CONNECTS;
    let failed = felt.iter().map(|felt| felt.failed).sum::<usize>();
    let share = (total - failed) as f64 / total as f64;
    section.checks.push(Check::new("P11", "connects that succeed / all", share, Bound::AtLeast(0.99)));
    let flooded = name(FLOODED_BY_A_MILLION, "p99");
    section.hold_median("P11", &flooded, &name(QUIET, "p99"), Bound::AtMost(1.2));
    section.hold_median("P11", &flooded, &name(SPINNING, "p99"), Bound::AtMost(1.2));
    section.checks.push(Check::new("P11", "forged SYNs a second", felt[2].rate(), Bound::AtLeast(900_000.0)));
    Ok(section)
}

fn name(case: &str, share: &str) -> String {
    format!("{case}: {share}")
}

/// What clients felt beside one thing, in all rounds.
#[derive(Default)]
struct Felt {
    /// Of each of [`SHARES`], microseconds a round.
    samples: [Vec<f64>; 3],
    failed: usize,
    /// Forged SYNs, and for how long.
    sent: u64,
    time: Duration,
}

impl Felt {
    fn add(&mut self, scene: &Scene, beside: Beside) {
        let start = Instant::now();
        let (connects, sent) = scene.beside(beside, Scene::connects);
        self.time += start.elapsed();
        self.sent += sent;
        self.failed += connects.failed;
        for ((_, share), samples) in SHARES.iter().zip(&mut self.samples) {
            samples.push(connects.at(*share));
        }
    }

    /// Forged SYNs a second.
    fn rate(&self) -> f64 {
        self.sent as f64 / self.time.as_secs_f64()
    }
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

    /// Forged SYNs a second that one CPU can make, send and judge.
    fn can_deliver(&self) -> f64 {
        let start = Instant::now();
        let ((), sent) = self.beside(Beside::Flood(None), |_| thread::sleep(TRIAL));
        sent as f64 / start.elapsed().as_secs_f64()
    }

    /// Does something beside something else; says how many forged SYNs were sent as well.
    fn beside<T: Send>(&self, beside: Beside, something: impl Fn(&Self) -> T + Sync) -> (T, u64) {
        let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let done = thread::scope(|scope| {
            let (is_over, sent) = (&is_over, &sent);
            match beside {
                Beside::Nothing => {}
                Beside::Spinning => {
                    scope.spawn(|| spin(is_over));
                }
                Beside::Flood(rate) => {
                    scope.spawn(move || self.client.run(|| self.flood(rate, is_over, sent)));
                }
            }
            let done = something(self);
            is_over.store(true, Ordering::Relaxed);
            done
        });
        (done, sent.into_inner())
    }

    fn flood(&self, rate: Option<f64>, is_over: &AtomicBool, sent: &AtomicU64) {
        pin(0);
        let mut next = monotonic_ns();
        while !is_over.load(Ordering::Relaxed) {
            self.flood.send(CHUNK);
            sent.fetch_add(CHUNK.into(), Ordering::Relaxed);
            if let Some(rate) = rate {
                next += (f64::from(CHUNK) / rate * 1e9) as u64;
                sleep_until(next);
            }
        }
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

fn spin(is_over: &AtomicBool) {
    pin(0);
    while !is_over.load(Ordering::Relaxed) {
        hint::black_box(0);
    }
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 10 + number)
}
