//! What a scrape costs with 10,000 names and a million sources.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use limiter_common::maps;
use limiter_user::bpf::{Pins, Words};

use super::{Scene, has, names};

const NAMES: u64 = 10_000;
const SOURCES: usize = 1_000_000;
const SCRAPES: u32 = 20;
const MOST_TIME: Duration = Duration::from_millis(50);
const MOST_MEMORY: u64 = 30 * 1024 * 1024;

/// Time that the daemon has had a CPU: what it did, and not how long it waited for others.
fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Bytes in memory: now, or the most there ever were.
fn memory(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_scrape_with_ten_thousand_names_and_a_million_sources_is_cheap() {
    let scene = Scene::new();
    let daemon = scene.attach(&[]);
    names::learn(&scene.machine, (0..NAMES).map(|i| (format!("name-{i}").into_bytes(), i)));
    scene.machine.sandbox.run(|| {
        let cells = Words::map(&Pins::locate().map(maps::SOURCES).unwrap(), maps::SOURCES).unwrap();
        let now = limiter_user::clock::now() & ((1 << 48) - 1);
        for (i, cell) in cells.all()[..SOURCES].iter().enumerate() {
            cell.store((i as u64 % 65_535 + 1) << 48 | now, Ordering::Relaxed);
        }
    });
    let pid = daemon.pid();

    // The first one counts how full the tables are.
    let start = cpu(pid);
    let page = scene.page();
    let first = cpu(pid).saturating_sub(start);
    assert!(has(&page, &format!(r#"limiter_map_entries{{map="sources"}} {SOURCES}"#)), "{page}");
    assert!(has(&page, &format!("limiter_other_hosts {}", NAMES - 100)), "{page}");

    let (start, clock) = (cpu(pid), Instant::now());
    for _ in 0..SCRAPES {
        scene.page();
    }
    let (each, wall) = (cpu(pid).saturating_sub(start) / SCRAPES, clock.elapsed() / SCRAPES);
    let (now, most) = (memory(pid, "VmRSS:"), memory(pid, "VmHWM:"));
    println!(
        "the first scrape {first:.1?} of CPU, each other {each:.1?} ({wall:.1?} by the clock), {} bytes; \
         RSS {} KiB, at most {} KiB",
        page.len(),
        now / 1024,
        most / 1024
    );
    assert!(first < MOST_TIME, "the first scrape took {first:?}");
    assert!(each < MOST_TIME / 2, "a scrape took {each:?}");
    assert!(most < MOST_MEMORY, "{most} bytes");
}
