//! Many attempts, at exact times or as fast as possible.

use std::net::SocketAddr;
use std::ops::Range;
use std::thread;

use limiter_tests::client::protocol::{Counts, How, Lookup, Names};
use limiter_tests::wire::{monotonic_ns, pin, sleep_until};

use crate::dns;
use crate::socket::connect;

const SECOND: f64 = 1e9;

/// Connects at exact times, and says when and with what error, or 0.
pub fn hammer(how: How, to: SocketAddr, per_second: f64, seconds: f64) -> Vec<(u64, i32)> {
    let first_ns = monotonic_ns();
    let total = (per_second * seconds).round() as u32;
    let attempts = (0..total).map(|number| {
        let due = first_ns + (f64::from(number) / per_second * SECOND) as u64;
        while monotonic_ns() < due {
            sleep_until(due);
        }
        let attempt = connect(how, to);
        (attempt.before_ns, attempt.errno)
    });
    attempts.collect()
}

/// Connects until the time is over, by several threads.
pub fn flood(how: How, to: SocketAddr, seconds: f64, threads: usize) -> Counts {
    let end = monotonic_ns() + (seconds * SECOND) as u64;
    let counts = on_cpus(threads, |_| {
        let mut counts = Counts::default();
        while monotonic_ns() < end {
            counts.add(connect(how, to));
        }
        counts
    });
    counts.into_iter().fold(Counts::default(), Counts::and)
}

/// Resolves each name and at once connects to its address, by several threads.
pub fn names(numbers: Range<u64>, pattern: &str, server: SocketAddr, threads: usize) -> Names {
    let names = on_cpus(threads, |thread| {
        let mut names = Names::default();
        for number in numbers.clone().skip(thread).step_by(threads) {
            let name = pattern.replace("{}", &number.to_string());
            let resolved = dns::resolve(&Lookup::new(&name, server));
            if let Some(address) = resolved.addresses.first() {
                names.resolved += 1;
                names.connects.add(connect(How::Udp, (*address, DISCARD).into()));
            }
        }
        names
    });
    names.into_iter().fold(Names::default(), |sum, names| Names {
        resolved: sum.resolved + names.resolved,
        connects: sum.connects.and(names.connects),
    })
}

/// The port to which nothing is sent.
const DISCARD: u16 = 9;

/// Runs a closure in several threads, which are spread over the CPUs where there is more than one.
fn on_cpus<T: Send>(threads: usize, closure: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let run = |number: usize| {
        if threads > 1 {
            pin(number % cpus);
        }
        closure(number)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}
