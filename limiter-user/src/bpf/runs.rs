//! How often the attached programs ran, and for how long, where the kernel counts that.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use aya::programs::loaded_programs;

use super::Pins;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// What the kernel counted of one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Runs {
    /// How often it ran.
    pub count: u64,
    /// For how long in all.
    pub time: Duration,
}

/// The programs behind pinned links, by name. Nothing where the kernel does not count
/// (`kernel.bpf_stats_enabled`).
///
/// # Errors
///
/// As the kernel says.
pub fn runs(pins: &Pins) -> anyhow::Result<BTreeMap<String, Runs>> {
    let mut runs = BTreeMap::<String, Runs>::new();
    if fs::read_to_string(SWITCH).is_ok_and(|switch| switch.trim() == "0") {
        return Ok(runs);
    }
    let mut ids = Vec::new();
    for name in pins.links()? {
        ids.extend(pins.link(&name)?.map(|link| link.program()));
    }
    // One that goes while all are looked at is an error of its own.
    for program in loaded_programs().filter_map(Result::ok).filter(|program| ids.contains(&program.id())) {
        let runs = runs.entry(program.name_as_str().unwrap_or_default().to_owned()).or_default();
        runs.count += program.run_count();
        runs.time += program.run_time();
    }
    Ok(runs)
}
