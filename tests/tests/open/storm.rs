//! Connections that come and go in every way at random, from many sources at once.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{IpAddr, TcpStream};
use std::thread;

use super::server::{CLOSE, HALF, RESET};
use super::{Scene, Server, dial, reset};

const THREADS: u64 = 4;
/// How many each thread holds at most.
const HELD: usize = 40;

/// Ten thousand connections; with `LIMITER_SOAK=1` a hundred thousand.
#[test]
fn after_a_storm_the_counts_are_those_of_the_kernel() {
    let connections = if std::env::var_os("LIMITER_SOAK").is_some() { 100_000 } else { 10_000 };
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "1000"]);
    let server = Server::start(&scene.machine.host);
    let held: Vec<_> = scene.client.run(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|seed| scope.spawn(move || storm(seed + 1, connections / THREADS)))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    });
    let counts = scene.agree();
    println!("{} open of {} sources", counts.values().sum::<u64>(), counts.len());
    assert!(counts.values().sum::<u64>() >= THREADS * HELD as u64 / 4, "the storm left too few: {counts:?}");
    drop(held);
    while !scene.agree().is_empty() {}
    let events = scene.machine.status()["connections"]["events"].clone();
    println!("{events}");
    assert!(server.accepted() as u64 >= connections, "{} connections", server.accepted());
    assert!(events["opened"].as_u64() >= Some(connections), "{events}");
    // A lost event is healed; that there are many would be another matter.
    assert!(events["healed"].as_u64() <= Some(connections / 1000), "{events}");
    assert_eq!((&events["table_full"], &events["contention"]), (&0.into(), &0.into()), "{events}");
}

fn storm(seed: u64, connections: u64) -> VecDeque<TcpStream> {
    let mut random = Random(seed);
    let mut held = VecDeque::new();
    for _ in 0..connections {
        let source: IpAddr = match random.below(60) as u16 {
            i @ 50.. => [0xfd01, 0, 0, i, 0, 0, 0, random.below(1000) as u16].into(),
            i => [10, 1, 0, i as u8].into(),
        };
        held.push_back(dial(source).expect("nothing is over the limit"));
        if held.len() > HELD {
            let index = random.below(HELD as u64) as usize;
            end(held.remove(index).unwrap(), &mut random);
        }
    }
    held
}

/// Either side may already have ended it.
fn end(mut stream: TcpStream, random: &mut Random) {
    match random.below(5) {
        0 => {}
        1 => reset(stream),
        2 => drop(stream.write(&[CLOSE])),
        3 => drop(stream.write(&[RESET])),
        _ => drop(stream.write(&[HALF])),
    }
}

/// xorshift64 (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
