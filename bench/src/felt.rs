//! What a client that keeps to its limit feels of a flood.

mod scene;

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::measure::Measured;
use crate::report::{Bound, Check, Section};
use scene::{Beside, CONNECTS, FLOODED, SERVER, Scene};

/// Forged SYNs a second.
const MILLION: f64 = 1_000_000.0;

/// Which shares of the connects are shown, in order of their time.
const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

const QUIET: &str = "connect, quiet";
const SPINNING: &str = "connect, the other CPU busy with nothing";
const FLOODED_BY_A_MILLION: &str = "connect, 1,000,000 forged SYNs/s";
const HALF: &str = "connect, 50 % of the forged SYNs that can be delivered";
const ALL: &str = "connect, 100 % of the forged SYNs that can be delivered";

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
