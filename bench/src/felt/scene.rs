//! A server, clients that it knows, and forged SYNs.

use std::hint;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use limiter_tests::bpf;
use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions, connect_from, link};
use limiter_tests::packet::Frame;
use limiter_tests::stream::{Flood, Sources};
use limiter_tests::wire::{monotonic_ns, pin, sleep_until};
use nix::net::if_::if_nametoindex;

/// The server's address.
pub const SERVER: &str = "192.0.2.1";
/// Where the flood comes in.
pub const FLOODED: &str = "eth1";
/// Connects a round, of all clients in turn: ten of them are over p99.9.
pub const CONNECTS: usize = 10_000;
/// An interface that nothing goes over.
const SPARE: &str = "spare0";
const CLIENTS: u8 = 50;
/// Forged SYNs at a time: one call of the kernel.
const CHUNK: u32 = 2_000;
/// For so long the flood is let loose to see how much of it the machine can deliver.
const TRIAL: Duration = Duration::from_secs(1);
/// A SYN that is lost is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the other CPU does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Beside {
    /// It has nothing to do.
    Nothing,
    /// It counts to no end: on a virtual machine the two CPUs may be one core.
    Spinning,
    /// It sends so many forged SYNs a second, or as many as it can.
    Flood(Option<f64>),
}

/// A server behind limiterctl, and a host with all the clients' addresses.
pub struct Scene {
    /// The server, as a person has it.
    pub server: Machine,
    client: Host,
    flood: Flood,
    _attached: OwnedFd,
}

impl Scene {
    /// All of it.
    pub fn new() -> Self {
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

    /// Connects from each client in turn.
    pub fn connects(&self) -> Connects {
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
    pub fn can_deliver(&self) -> f64 {
        let start = Instant::now();
        let ((), sent) = self.beside(Beside::Flood(None), |_| thread::sleep(TRIAL));
        sent as f64 / start.elapsed().as_secs_f64()
    }

    /// Does something beside something else; says how many forged SYNs were sent as well.
    pub fn beside<T: Send>(&self, beside: Beside, something: impl Fn(&Self) -> T + Sync) -> (T, u64) {
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

    /// How many forged SYNs were refused so far.
    pub fn refused(&self) -> anyhow::Result<u64> {
        let status = self.server.status();
        status["rules"][0]["refused"]["strangers"].as_u64().context("status has no strangers")
    }
}

/// What came of connecting: how long it took, in order.
pub struct Connects {
    times: Vec<Duration>,
    /// How many did not come about.
    pub failed: usize,
}

impl Connects {
    /// Microseconds, of the one at this share of all.
    pub fn at(&self, share: f64) -> f64 {
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
