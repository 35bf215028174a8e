//! Nanoseconds a packet, without a network.

pub mod cost;
mod lru;
mod scene;

use std::os::fd::AsFd;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use limiter_common::maps;
use limiter_common::rule::Action;
use limiter_tests::bpf::{self, Instruction};
use limiter_tests::net::Sandbox;
use limiter_tests::packet::Frame;
use limiter_tests::stream::{Sources, Stream};
use limiter_tests::wire::pin;
use limiter_user::bpf::lists::List;
use limiter_user::policy::InboundRule;

use crate::measure::{Case, in_turns};
use crate::report::{Bound, Check, Section, counted};
pub use scene::{PORT, Scene, closed, rule, syn, syn_to, syn_v6};

/// Frames a measurement.
const REPEAT: u32 = 2_000_000;
/// Prefixes on a list.
const PREFIXES: u32 = 100_000;

/// What a SYN may cost that gets no answer of ours, in floors.
const PASSED: f64 = 2.5;

const FLOOR: &str = "floor: XDP_DROP at once";
const EMPTY: &str = "floor: XDP_PASS at once";
const ONE: &str = "SYN passed, 1 source";
const MILLION: &str = "SYN judged, 1,048,576 sources";
const FORGED: &str = "SYN judged, 2^25 forged sources, both CPUs";
const MILLION_BOTH: &str = "SYN judged, 1,048,576 sources, both CPUs";
const LRU: &str = "LRU hash with 2^25 forged sources, both CPUs";
const BOTH: &str = "SYN passed, 1 source, both CPUs";

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    Sandbox::new().run(|| {
        pin(0);
        measure_here(rounds)
    })
}

fn measure_here(rounds: usize) -> anyhow::Result<Section> {
    let syn = syn();
    let returning = |value| bpf::load_xdp(&Instruction::returning(value));
    let (floor, empty) = (returning(1)?, returning(2)?);
    let resets = || InboundRule { action: Action::Reset, ..closed() };
    let many =
        || (0..64).map(|i| InboundRule { ports: (PORT + i).to_string().parse().expect("a port"), ..rule() });
    let mut scenes = [
        (ONE, Scene::new(vec![rule()], syn.clone())?),
        ("SYN passed, 1 source, IPv6", Scene::new(vec![rule()], syn_v6())?),
        ("SYN refused by drop, 1 source", Scene::new(vec![closed()], syn.clone())?),
        ("SYN refused by reset, 1 source", Scene::streamed(vec![resets()], 0, true)?),
        ("SYN refused by drop, 1 source, frame written", Scene::streamed(vec![closed()], 0, true)?),
        ("SYN refused by reset, 1 source, resets used up", Scene::silent(vec![resets()])?),
        ("SYN judged, 65,536 sources", Scene::streamed(vec![closed()], 16, false)?),
        (MILLION, Scene::streamed(vec![closed()], 20, false)?),
        ("SYN judged, 1 source, IPv6", Scene::streamed_in(vec![closed()], syn_v6(), 0)?),
        ("SYN judged, 65,536 sources, IPv6", Scene::streamed_in(vec![closed()], syn_v6(), 16)?),
        ("ACK with data", Scene::new(vec![rule()], ack())?),
        (
            "UDP",
            Scene::new(
                vec![rule()],
                Frame::ipv4("198.51.100.7", "192.0.2.1").udp(40_000, PORT).payload(b"hello").build(),
            )?,
        ),
        ("ARP", Scene::new(vec![rule()], Frame::ethernet(0x0806, &[0; 46]).build())?),
        ("SYN to a port without a rule", Scene::new(vec![rule()], syn_to(PORT + 1))?),
        ("SYN passed, 64 rules", Scene::new(many().collect(), syn_to(PORT + 63))?),
        ("SYN passed, 100,000 addresses denied", Scene::listed(List::Deny, PREFIXES, false)?),
        ("SYN denied, of 100,000 addresses", Scene::listed(List::Deny, PREFIXES, true)?),
        ("SYN passed, 100,000 addresses allowed", Scene::listed(List::Allow, PREFIXES, false)?),
        ("SYN allowed, of 100,000 addresses", Scene::listed(List::Allow, PREFIXES, true)?),
        (
            "SYN passed, total rate",
            Scene::new(vec![InboundRule { total_rate: rule().rate, ..rule() }], syn.clone())?,
        ),
        ("SYN of a stranger passed", Scene::new(vec![strangers()], syn.clone())?),
        (
            "SYN of a stranger refused",
            Scene::new(vec![InboundRule { strangers_rate: closed().rate, ..rule() }], syn.clone())?,
        ),
        ("SYN over max_open", Scene::new(vec![InboundRule { max_open: Some(15), ..rule() }], syn.clone())?),
    ];
    let mut pair = Pair::of(Scene::streamed(vec![rule()], 0, false)?, 0)?;
    let mut million = Pair::of(Scene::streamed(vec![closed()], 20, false)?, 20)?;
    let mut forged = Pair::of(Scene::streamed(vec![closed()], 25, false)?, 25)?;
    let (lru, _map) = lru::program(1 << 20)?;
    let lru = [(); 2]
        .map(|()| Stream::before(&lru, &syn, Sources { first: [32, 0, 0, 0].into(), bits: 25 }, false));
    let [lru_a, lru_b] = lru;
    let lru = [lru_a?, lru_b?];

    let mut cases = vec![
        Case::new(FLOOR, || Ok(cost::nanoseconds(&floor, &syn, REPEAT)?)),
        Case::new(EMPTY, || Ok(cost::nanoseconds(&empty, &syn, REPEAT)?)),
    ];
    cases.extend(scenes.iter_mut().map(|(name, scene)| Case::new(*name, || scene.cost(REPEAT))));
    cases.push(Case::new(BOTH, || pair.cost()));
    cases.push(Case::new(MILLION_BOTH, || million.cost()));
    cases.push(Case::new(FORGED, || forged.cost()));
    cases.push(Case::new(LRU, || on_both(&lru, &syn)));
    let measured = in_turns("ns", cases, rounds)?;

    let mut section = Section {
        name: "packet",
        title: "A packet, judged",
        how: "By `BPF_PROG_TEST_RUN`: the program alone, without a network. A stream of sources, and whatever changes the \
              frame, goes through a program that writes each frame and calls the one that is measured; its cost is counted \
              in. `floor` is what an XDP program costs that decides at once.",
        measured,
        checks: Vec::new(),
        notes: Vec::new(),
        curves: Vec::new(),
    };
    check_counts(&scenes, rounds)?;
    targets(&mut section);
    section.checks.extend(exactness()?);
    section.checks.extend(memory(&mut scenes[0].1)?);
    Ok(section)
}

fn targets(section: &mut Section) {
    section.hold("P1", ONE, FLOOR, Bound::AtMost(PASSED));
    section.hold("P1", "SYN refused by drop, 1 source", FLOOR, Bound::AtMost(PASSED));
    section.hold("P1", "SYN refused by reset, 1 source", FLOOR, Bound::AtMost(4.0));
    section.hold_in_cache("P2", "SYN judged, 65,536 sources", FLOOR, Bound::AtMost(5.0));
    section.hold_in_cache("P2", MILLION, FLOOR, Bound::AtMost(8.0));
    section.hold_in_cache("P3", FORGED, MILLION_BOTH, Bound::AtMost(1.15));
    section.hold_in_cache("P3", LRU, FORGED, Bound::AtLeast(2.5));
    for case in ["ACK with data", "UDP", "ARP"] {
        section.hold("P4", case, EMPTY, Bound::AtMost(1.15));
    }
    section.hold("P4", "SYN to a port without a rule", EMPTY, Bound::AtMost(1.3));
    section.hold("P5", BOTH, ONE, Bound::AtMost(2.0));
    for (case, most) in [
        ("SYN passed, 64 rules", 0.2),
        ("SYN passed, 100,000 addresses denied", 1.5),
        ("SYN denied, of 100,000 addresses", 1.5),
        ("SYN passed, 100,000 addresses allowed", 0.2),
    ] {
        let floor = section.case(FLOOR).minimum();
        let value = (section.case(case).minimum() - section.case(ONE).minimum()) / floor;
        let what = format!("({case} - {ONE}) / {FLOOR}");
        section.checks.push(Check {
            base: PASSED,
            counted: counted(value, floor),
            ..Check::new("P6", what, value, Bound::AtMost(most))
        });
    }
}

/// Each case did what its name says, or its number says nothing.
fn check_counts(scenes: &[(&str, Scene)], rounds: usize) -> anyhow::Result<()> {
    let judged = rounds as u64 * u64::from(REPEAT);
    for (name, scene) in scenes {
        let counted = scene.counted().with_context(|| (*name).to_owned())?;
        let holds = match *name {
            name if name.ends_with("reset, 1 source") => counted.resets * 100 >= judged * 99,
            name if name.contains("refused") || name.contains("denied,") || name.contains("over") => {
                counted.refused * 100 >= judged * 99
            }
            name if name.contains("passed") || name.contains("allowed,") => {
                counted.passed * 100 >= judged * 99
            }
            name if name.contains("judged") => counted.passed + counted.refused >= judged,
            _ => counted.passed + counted.refused == 0,
        };
        ensure!(holds, "{name}: {counted:?} of {judged}");
    }
    Ok(())
}

/// P5: both CPUs on one source at a rate that they are over: what passes is what may.
///
/// A call goes on for some 30 ms after its last frame, in which nothing can pass. Frames that follow get what became free
/// in that time, so that what passed by then lies between what may pass before them and behind them.
fn exactness() -> anyhow::Result<Vec<Check>> {
    const RATE: u64 = 1_000_000;
    // What may pass while the calls are made that do the measuring is not lost.
    const BURST: u64 = RATE / 4;
    // More than becomes free in that time.
    const FREED: u32 = 100_000;
    let limited = InboundRule { rate: Some(format!("{RATE}/s burst {BURST}").parse()?), ..rule() };
    let mut pair = Pair::of(Scene::streamed(vec![limited], 0, false)?, 0)?;
    let start = Instant::now();
    for _ in 0..30 {
        pair.cost()?;
    }
    let least = start.elapsed().as_secs_f64();
    bpf::test_run(&pair.streams[0], pair.scene.frame(), FREED)?;
    let most = start.elapsed().as_secs_f64();
    let passed = pair.scene.counted()?.passed as f64;
    let check = |seconds: f64, bound| {
        let what = format!("both CPUs on one source at {RATE}/s: passed / may pass in {seconds:.2} s");
        Check::new("P5", what, passed / (BURST as f64 + RATE as f64 * seconds), bound)
    };
    Ok(vec![check(most, Bound::AtMost(1.0)), check(least, Bound::AtLeast(0.995))])
}

/// P10 and P16, which are numbers and no times.
fn memory(scene: &mut Scene) -> anyhow::Result<Vec<Check>> {
    let aya::maps::Map::Array(map) = scene.programs().map(maps::SOURCES) else {
        anyhow::bail!("the table of sources is no array")
    };
    let mebibytes = bpf::memory(map.fd()) as f64 / f64::from(1 << 20);
    let verified = scene.programs().inbound().info()?.verified_instruction_count().context("no count")?;
    let verified: f64 = verified.into();
    Ok(vec![
        Check::new("P10", "MiB for 1,048,576 sources", mebibytes, Bound::AtMost(12.0)),
        Check::new("P16", "instructions verified, inbound", verified, Bound::AtMost(100_000.0)),
    ])
}

/// A scene that both CPUs are shown frames of at the same time.
struct Pair {
    scene: Scene,
    streams: [Stream; 2],
}

impl Pair {
    fn of(mut scene: Scene, bits: u32) -> anyhow::Result<Self> {
        let streams = [scene.another_stream(bits, false)?, scene.another_stream(bits, false)?];
        Ok(Self { scene, streams })
    }

    fn cost(&mut self) -> anyhow::Result<f64> {
        on_both(&self.streams, self.scene.frame())
    }
}

/// Nanoseconds a frame on each of two CPUs, while the other one is as busy.
fn on_both(programs: &[impl AsFd + Sync; 2], frame: &[u8]) -> anyhow::Result<f64> {
    thread::scope(|scope| {
        let threads = [0, 1].map(|cpu| {
            scope.spawn(move || {
                pin(cpu);
                cost::nanoseconds(&programs[cpu], frame, REPEAT)
            })
        });
        let mut sum = 0.0;
        for thread in threads {
            sum += thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(sum / 2.0)
    })
}

fn strangers() -> InboundRule {
    InboundRule { strangers_rate: rule().rate, ..rule() }
}

fn ack() -> Vec<u8> {
    Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, PORT).payload(b"hello").build()
}
