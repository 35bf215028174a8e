//! What it takes to be there: time to load and attach, memory, and what the daemon does when nothing happens.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aya::EbpfLoader;
use aya::programs::Program;
use limiter_common::maps;
use limiter_tests::bpf;
use limiter_tests::daemon::Machine;
use limiter_tests::net::Sandbox;
use limiter_tests::packet::Mac;
use limiter_user::bpf::OBJECT;

use crate::measure::Measured;
use crate::report::{Bound, Check, Section};

/// What a SYN may lead to.
const TABLES: [&str; 11] = [
    maps::PORTS,
    maps::RULES,
    maps::COUNTERS,
    maps::SOURCES,
    maps::TOTALS,
    maps::OPEN,
    maps::PENDING,
    maps::KNOWN,
    maps::PREFIXES,
    maps::PREFIX_LENGTHS,
    maps::PREFIX_BLOCKS,
];
/// How long the daemon is watched.
const IDLE: Duration = Duration::from_secs(3);
/// Jiffies of user space, a second (`USER_HZ`).
const USER_HZ: f64 = 100.0;

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    let mut measured = Vec::new();
    let mut checks = Vec::new();
    for round in 1..=rounds {
        eprint!("\r  round {round} of {rounds} ");
        for (name, verified, time) in Sandbox::new().run(load_each)? {
            add(&mut measured, format!("load {name}"), "ms", time.as_secs_f64() * 1e3);
            if round == 1 {
                let what = format!("instructions verified, {name}");
                checks.push(Check::new("P16", what, verified.into(), Bound::AtMost(100_000.0)));
            }
        }
        daemon(&mut measured)?;
    }
    eprintln!();
    let mut section = Section {
        name: "footprint",
        title: "What it takes to be there",
        how: "Programs loaded one by one from the object that limiterctl carries; then `limiterctl attach` with a rate, a limit \
              on open connections and a budget for strangers, all tables at their defaults.",
        measured,
        checks,
        notes: Vec::new(),
        curves: Vec::new(),
    };
    let loads: Vec<_> = section.measured.iter().filter(|case| case.name.starts_with("load ")).collect();
    let loads = loads
        .iter()
        .map(|case| Check::new("P16", format!("{}, in ms", case.name), case.minimum(), Bound::AtMost(100.0)));
    let loads: Vec<_> = loads.collect();
    section.checks.extend(loads);
    Ok(section)
}

fn add(measured: &mut Vec<Measured>, name: String, unit: &'static str, value: f64) {
    match measured.iter_mut().find(|case| case.name == name) {
        Some(case) => case.samples.push(value),
        None => measured.push(Measured { name, unit, samples: vec![value] }),
    }
}

/// Each program by its name, with how many instructions the verifier followed and how long all of it took.
fn load_each() -> anyhow::Result<Vec<(String, u32, Duration)>> {
    let mut ebpf = EbpfLoader::new().load(OBJECT).context("the maps cannot be made")?;
    let mut loaded = Vec::new();
    let mut programs: Vec<_> = ebpf.programs_mut().collect();
    programs.sort_by_key(|(name, _)| *name);
    for (name, program) in programs {
        let start = Instant::now();
        match program {
            Program::Xdp(program) => program.load()?,
            Program::SockOps(program) => program.load()?,
            Program::CgroupSkb(program) => program.load()?,
            Program::CgroupSockAddr(program) => program.load()?,
            _ => bail!("{name} is of a kind that is not expected"),
        }
        let time = start.elapsed();
        let verified = program.info()?.verified_instruction_count().context("the kernel does not count")?;
        loaded.push((name.to_owned(), verified, time));
    }
    Ok(loaded)
}

/// `limiterctl attach`, on a machine with an interface and no traffic.
fn daemon(measured: &mut Vec<Measured>) -> anyhow::Result<()> {
    let machine = Machine::new("idle");
    machine.host.ip(&format!("link add eth0 address {} type veth peer name eth1", Mac::SERVER));
    machine.host.ip("link set eth0 up");
    let start = Instant::now();
    let daemon = machine.attach(&[
        "--interface",
        "eth0",
        "--port",
        "80",
        "--rate",
        "60/min burst 60",
        "--max-open",
        "15",
        "--strangers-rate",
        "1000/s",
    ]);
    add(measured, "attach, until it says so".into(), "ms", start.elapsed().as_secs_f64() * 1e3);
    let memory: u64 = machine.sandbox.run(|| -> anyhow::Result<u64> {
        let pins = limiter_user::bpf::Pins::locate();
        TABLES.iter().map(|name| Ok(bpf::memory(pins.map(name)?.fd()))).sum()
    })?;
    add(measured, "tables".into(), "MiB", memory as f64 / f64::from(1 << 20));
    let (before, _) = used(daemon.pid())?;
    thread::sleep(IDLE);
    let (after, resident) = used(daemon.pid())?;
    add(measured, "daemon, idle, of a processor".into(), "%", (after - before) / IDLE.as_secs_f64() * 100.0);
    add(measured, "daemon, resident".into(), "MiB", resident);
    Ok(())
}

/// Seconds of processor time and resident MiB of a process (proc(5)).
fn used(pid: u32) -> anyhow::Result<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process has a name")?;
    let fields: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    Ok((fields.iter().sum::<f64>() / USER_HZ, resident.context("a process has memory")? / 1024.0))
}
