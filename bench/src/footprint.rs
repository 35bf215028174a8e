//! What it takes to be there: time to load and attach, memory, and what the daemon does when nothing happens.

use std::env;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aya::EbpfLoader;
use limiter_common::maps;
use limiter_tests::bpf::memory;
use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::Machine;
use limiter_tests::net::Sandbox;
use limiter_tests::packet::Mac;
use limiter_user::bpf::{self, OBJECT};

use crate::measure::Measured;
use crate::report::{Bound, Check, Section};

/// What a SYN may lead to.
const TABLES: &[&str] = &[
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
    maps::REPORTS,
    maps::REPORTED,
];
/// What a connect and a DNS message may; without the desks to read messages at, which are pinned nowhere (0.3 MiB).
const OUTBOUND_TABLES: &[&str] = &[
    maps::SETTINGS,
    maps::HOST_RULES,
    maps::HOST_COUNTERS,
    maps::PATTERNS,
    maps::NETWORKS,
    maps::HOSTS,
    maps::LISTED,
    maps::UNLISTED,
    maps::STATES,
    maps::SHARED_STATES,
    maps::QUERIES,
    maps::FLOWS,
    maps::STREAMS,
];
const INBOUND: &[&str] = &[
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
];
/// Of a million sources that are active at a time, so much room leaves one in 10,000 without a cell.
const ROOM_FOR_A_MILLION: &str = "4194304";
/// How long the daemon is watched: all that it does now and then is in there, of which the rarest comes once a minute. So it
/// is done in one round only.
const IDLE: Duration = Duration::from_mins(1);
const IDLE_ROUNDS: usize = 1;
/// What it does behind its start is not idling.
const SETTLING: Duration = Duration::from_secs(3);

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
        daemon(&mut measured, "inbound", TABLES, INBOUND, round <= IDLE_ROUNDS)?;
        let million = [INBOUND, &["--max-sources", ROOM_FOR_A_MILLION]].concat();
        daemon(&mut measured, "inbound, room for 4,194,304 sources", TABLES, &million, false)?;
        let cgroup = Cgroup::new();
        let path = cgroup.path().to_string_lossy();
        let outbound = ["--cgroup", &*path, "--default-rate", "10/s burst 10"];
        daemon(&mut measured, "outbound", OUTBOUND_TABLES, &outbound, round <= IDLE_ROUNDS)?;
    }
    match released() {
        Ok(size) => add(&mut measured, "binary, as released".into(), "MiB", mebibytes(size)),
        Err(error) => eprintln!("\n  without the size of the binary: {error:#}"),
    }
    eprintln!();
    let mut section = Section {
        name: "footprint",
        title: "What it takes to be there",
        how: "Programs loaded one by one from the object that limiterctl carries; then `limiterctl attach`: inbound with a \
              rate, a limit on open connections and a budget for strangers, outbound with a rate for each name, all tables at \
              their defaults (room for 1,048,576 sources) unless it says otherwise. Idle is what all threads of the daemon \
              use in a minute without traffic, three seconds after the start, in one round. `status` is all of the \
              verb, from its start to its end. Both have the profile of the tests; the binary is the one that `cargo build \
              --release` makes.",
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
    for (target, end, most) in [("idle", ", idle, of a processor", 0.1), ("status", "status, ", 20.0)] {
        let cases = section.measured.iter().filter(|case| case.name.contains(end));
        let checks = cases.map(|case| {
            let what = format!("{}, in {}", case.name, case.unit);
            Check::new(target, what, case.median(), Bound::AtMost(most))
        });
        let checks: Vec<_> = checks.collect();
        section.checks.extend(checks);
    }
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
        bpf::load(program).with_context(|| format!("cannot load {name}"))?;
        let time = start.elapsed();
        let verified = program.info()?.verified_instruction_count().context("the kernel does not count")?;
        loaded.push((name.to_owned(), verified, time));
    }
    Ok(loaded)
}

/// `limiterctl attach`, on a machine with an interface and no traffic.
fn daemon(
    measured: &mut Vec<Measured>,
    how: &str,
    tables: &[&str],
    arguments: &[&str],
    watch: bool,
) -> anyhow::Result<()> {
    let machine = Machine::new("idle");
    machine.host.ip(&format!("link add eth0 address {} type veth peer name eth1", Mac::SERVER));
    machine.host.ip("link set eth0 up");
    let start = Instant::now();
    let daemon = machine.attach(arguments);
    add(measured, format!("attach {how}, until it says so"), "ms", start.elapsed().as_secs_f64() * 1e3);
    let memory: u64 = machine.sandbox.run(|| -> anyhow::Result<u64> {
        let pins = bpf::Pins::locate();
        tables.iter().map(|name| Ok(memory(pins.map(name)?.fd()))).sum()
    })?;
    add(measured, format!("tables {how}"), "MiB", mebibytes(memory));
    add(measured, format!("status, {how}"), "ms", status(&machine)?);
    if watch {
        thread::sleep(SETTLING);
        let before = processor_time(daemon.pid())?;
        thread::sleep(IDLE);
        let used = processor_time(daemon.pid())?.saturating_sub(before);
        let share = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
        add(measured, format!("daemon {how}, idle, of a processor"), "%", share);
    }
    add(measured, format!("daemon {how}, resident"), "MiB", resident(daemon.pid())?);
    Ok(())
}

/// What `limiterctl status` takes, from its start to its end, in milliseconds.
fn status(machine: &Machine) -> anyhow::Result<f64> {
    let start = Instant::now();
    let said = machine.limiterctl(&["status"]);
    let time = start.elapsed();
    ensure!(said.code == 0, "{said:?}");
    Ok(time.as_secs_f64() * 1e3)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Bytes of limiterctl as it is released, which lies beside what the tests run: target/release.
fn released() -> anyhow::Result<u64> {
    let here = env::current_exe()?;
    let target = here.parent().and_then(Path::parent).context("the bench lies nowhere")?;
    let path = target.join("release/limiterctl");
    let file =
        fs::metadata(&path).with_context(|| format!("no {}; cargo build --release", path.display()))?;
    Ok(file.len())
}

/// Processor time of all threads of a process (the kernel's Documentation/scheduler/sched-stats.rst).
fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().context("no time in schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Resident MiB of a process (proc(5)).
fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    Ok(resident.context("a process has memory")? / 1024.0)
}
