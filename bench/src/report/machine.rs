//! Where it was measured.

use std::fmt;
use std::fs;
use std::process::Command;

use nix::sys::utsname::uname;
use serde::Serialize;

/// A machine, its kernel, and what of this project ran on it.
#[derive(Debug, Serialize)]
pub struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
    commit: String,
}

impl Machine {
    /// This one. What cannot be found out is said to be unknown.
    pub fn here() -> Self {
        let unknown = || "unknown".to_owned();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let models = cpuinfo.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let models: Vec<_> = models.map(|(_, model)| model.to_owned()).collect();
        let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
        Self {
            cpus: models.len(),
            cpu: models.into_iter().next().unwrap_or_else(unknown),
            kernel: uname().map_or_else(|_| unknown(), |name| name.release().to_string_lossy().into_owned()),
            commit: commit
                .ok()
                .filter(|output| output.status.success())
                .map_or_else(unknown, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPUs ({}), Linux {}, commit {}", self.cpus, self.cpu, self.kernel, self.commit)
    }
}
