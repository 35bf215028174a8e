//! A million forged SYNs, as fast as a CPU makes them, and fifty clients that are known.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use limiter_common::maps;
use limiter_tests::bpf;
use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions, connect_from};
use limiter_tests::packet::Frame;
use limiter_tests::stream::{Flood, Sources};
use limiter_tests::wire::pin;
use limiter_user::bpf::Pins;

use super::{SERVER, number};

const CLIENTS: u8 = 50;
const FORGED: u64 = 1_000_000;
/// Sent before anybody looks how many have been refused.
const CHUNK: u32 = 50_000;
/// Who is a stranger: the clients at first, then as many of the forged.
const STRANGERS: u64 = 2 * CLIENTS as u64;
/// A SYN that is lost is sent again after 1, 3 and 7 seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Every map that a SYN leads to, but for that of open connections.
const MAPS: [&str; 6] =
    [maps::SOURCES, maps::TOTALS, maps::KNOWN, maps::PENDING, maps::PREFIXES, maps::COUNTERS];
/// No less than what the kernel takes for an element of that one, which grows with the clients and not with the flood.
const ELEMENT: u64 = 128;

#[test]
fn a_million_forged_syns_cost_no_known_client_a_connection_and_no_map_a_byte() {
    let (server, client) = Machine::with_client(LinkOptions::default());
    server.host.add_address("eth0", &format!("{SERVER}/24"));
    let clients: Vec<_> = (0..CLIENTS).map(|number| Ipv4Addr::new(192, 0, 2, 10 + number)).collect();
    for address in &clients {
        client.add_address("eth0", &format!("{address}/24"));
    }
    let listener = server.host.run(|| TcpListener::bind((SERVER, 80)).unwrap());
    thread::spawn(move || listener.incoming().for_each(drop));

    let strangers = format!("10/hour burst {STRANGERS}");
    let limits = ["--rate", "100000/s burst 100000", "--strangers-rate", &strangers, "--action", "drop"];
    let _daemon = server.attach(&[&["--interface", "eth0", "--port", "80"], &limits[..]].concat());
    let quiet = connect_for(&client, &clients, || false);
    assert_eq!(quiet.failed, 0, "before the flood there is room for all");
    let (before, open) = (memory(&server, MAPS), memory(&server, [maps::OPEN])[maps::OPEN]);

    let sources = Sources { first: Ipv4Addr::new(32, 0, 0, 0), bits: 25 };
    let syn = Frame::ipv4("192.0.2.2", SERVER).tcp(40_000, 80).syn().build();
    let flood = Flood::new(&client, "eth0", &syn, sources);
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let refused = || number(&server.status()["rules"][0]["refused"]["strangers"]);
    let (flooded, time) = thread::scope(|scope| {
        let clients = scope.spawn(|| connect_for(&client, &clients, || !is_over.load(Ordering::Relaxed)));
        let start = Instant::now();
        while refused() < FORGED && !clients.is_finished() {
            client.run(|| {
                pin(0);
                flood.send(CHUNK);
            });
            sent.fetch_add(CHUNK.into(), Ordering::Relaxed);
        }
        let time = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (clients.join().unwrap(), time)
    });

    println!("{} forged SYNs in {time:.1?}, {} refused", sent.load(Ordering::Relaxed), refused());
    println!("in quiet: {quiet}\nmeanwhile: {flooded}");
    assert_eq!(flooded.failed, 0, "{flooded}");
    assert!(flooded.times.len() >= clients.len(), "each had its turn: {flooded}");
    let rule = &server.status()["rules"][0];
    let others: u64 = ["rate", "backoff", "total", "contention", "open", "denied"]
        .iter()
        .map(|reason| number(&rule["refused"][reason]))
        .sum();
    assert_eq!(others, 0, "nobody else was refused: {rule}");
    let connects = (quiet.times.len() + flooded.times.len()) as u64;
    assert!(number(&rule["passed"]) >= connects + STRANGERS / 2, "{connects} connects: {rule}");
    assert_eq!(memory(&server, MAPS), before, "bytes of each map");
    let after = memory(&server, [maps::OPEN])[maps::OPEN];
    let most = open + u64::from(CLIENTS) * ELEMENT;
    assert!(after <= most, "bytes of the map of open connections: {after}, before {open}");
}

/// What came of connecting.
struct Connects {
    times: Vec<Duration>,
    failed: usize,
}

impl std::fmt::Display for Connects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut times = self.times.clone();
        times.sort();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        write!(f, "{} connects, {} failed", times.len(), self.failed)?;
        write!(f, "; median {:.3?}, p99 {:.3?}", at(50), at(99))
    }
}

/// All clients connect, in turn: a few times each, and then for as long as that holds. The first that fails ends it.
fn connect_for(host: &Host, clients: &[Ipv4Addr], goes_on: impl Fn() -> bool + Sync) -> Connects {
    host.run(|| {
        pin(1);
        let mut connects = Connects { times: Vec::new(), failed: 0 };
        for round in 0.. {
            if round >= 20 && !goes_on() {
                break;
            }
            for client in clients {
                let start = Instant::now();
                if connects_from(*client) {
                    connects.times.push(start.elapsed());
                } else {
                    connects.failed += 1;
                    return connects;
                }
            }
        }
        connects
    })
}

fn connects_from(client: Ipv4Addr) -> bool {
    let server: Ipv4Addr = SERVER.parse().unwrap();
    connect_from(client.into(), (server, 80).into(), PATIENCE).is_ok()
}

fn memory<const N: usize>(server: &Machine, maps: [&'static str; N]) -> BTreeMap<&'static str, u64> {
    server.sandbox.run(|| {
        let pins = Pins::locate();
        maps.map(|name| (name, bpf::memory(pins.map(name).unwrap().fd()))).into()
    })
}
