//! The checks, as they run in the virtual machine, on the demo's hosts.

mod inbound;
mod outbound;

use std::{fs, io, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;

use super::{machine, report::Finding};
use crate::demo::{
    cgroup,
    commands::{Daemon, Hands},
    hosts::{Host, Network},
    left, names,
};

#[derive(clap::Args)]
pub struct Args {
    /// The binary to try
    #[arg(long, default_value = "/bin/limiterctl")]
    limiterctl: PathBuf,
}

/// A check returns what it saw, or an error that says so.
type Check = fn(&mut Stage) -> Result<String>;

/// All of them, in order.
const CHECKS: &[(&str, Check)] = &[
    ("outbound: attach", outbound::attach),
    ("outbound: TCP", outbound::tcp),
    ("outbound: TCP over IPv6", outbound::tcp_over_ipv6),
    ("outbound: UDP, connected", outbound::udp_connected),
    ("outbound: UDP, not connected", outbound::udp),
    ("outbound: a name", outbound::name),
    ("outbound: why", outbound::why),
    ("outbound: detach", outbound::detach),
    ("inbound, native: attach", inbound::attach_native),
    ("inbound, native: TCP", inbound::tcp),
    ("inbound, native: detach", inbound::detach),
    ("inbound, generic: attach", inbound::attach_generic),
    ("inbound, generic: TCP", inbound::tcp),
    ("inbound, generic: detach", inbound::detach),
    ("the kernel has no complaint", complaints),
];

/// The names of the checks.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// Runs the checks, and prints a line for each.
pub fn run(args: &Args) -> Result<()> {
    let options = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    ensure!(
        options.split_whitespace().any(|word| word == machine::MARK),
        "`kernels-inside` is a part of `cargo xtask kernels` and does not run by itself"
    );
    let mut stage = Stage::new(args)?;
    for (name, check) in CHECKS {
        let finding = match check(&mut stage) {
            Ok(seen) => Finding::passed(name, &seen),
            Err(error) => Finding::failed(name, &format!("{error:#}")),
        };
        println!("{}", finding.line());
    }
    Ok(())
}

/// What the checks share.
struct Stage {
    network: Network,
    hands: Hands,
    cgroup: PathBuf,
    /// `limiterctl attach`, while it runs.
    daemon: Option<Daemon>,
    /// Another one, at the other end of the server's cable.
    far_end: Option<Daemon>,
    /// What the clients connect to.
    _website: inbound::Website,
}

impl Stage {
    fn new(args: &Args) -> Result<Self> {
        let network = Network::new()?;
        outbound::serve_names(&network.server)?;
        let website = inbound::serve(&network)?;
        let hands = Hands::new(args.limiterctl.clone())?;
        Ok(Self {
            network,
            hands,
            cgroup: cgroup::make("app")?,
            daemon: None,
            far_end: None,
            _website: website,
        })
    }

    /// Starts `limiterctl attach` on the server, and waits for the line that begins with `last`.
    fn attach(&mut self, command: &str, last: &str) -> Result<String> {
        let mut said = String::new();
        let daemon = Daemon::start(&self.hands, &self.network.server, command, last, |line| {
            said.push_str(line);
            Ok(())
        });
        self.daemon = Some(daemon.with_context(|| said.clone())?);
        Ok(said.lines().next().unwrap_or_default().trim_start_matches("limiterctl: ").to_owned())
    }

    /// Takes off what [`Stage::attach`] has put on, and looks for what is left.
    fn detach(&mut self) -> Result<String> {
        let detach = self.hands.run(&self.network.server, "sudo limiterctl detach")?;
        ensure!(detach.code == Some(0), "detach failed: {}", detach.text);
        self.daemon.take().context("nothing was attached")?.end()?;
        let left = left(&self.hands, &self.network.server)?;
        ensure!(left.is_empty(), "detach left behind: {}", left.join(", "));
        Ok(detach.text)
    }
}

/// What the kernel's own developers treat as bugs. A machine that is merely slow is not among them.
const COMPLAINTS: [&str; 4] = ["BUG:", "WARNING:", "Oops", "general protection"];

fn complaints(_: &mut Stage) -> Result<String> {
    let output = Command::new("dmesg").output().context("cannot run dmesg")?;
    let log = String::from_utf8_lossy(&output.stdout);
    ensure!(!log.is_empty(), "dmesg printed nothing");
    match log.lines().find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint))) {
        Some(line) => bail!("{line}"),
        None => Ok(format!("{} lines in its log", log.lines().count())),
    }
}

/// Tries four times on a host, and compares what comes of it. Each attempt has a socket of its own.
fn attempts<T>(host: &Host, wanted: [&str; 4], attempt: impl Fn() -> io::Result<T> + Sync) -> Result<String> {
    let seen = host.run(|| Ok(wanted.map(|_| outcome(&attempt()))))?;
    ensure!(seen == wanted, "{}; wanted: {}", seen.join(" "), wanted.join(" "));
    Ok(seen.join(" "))
}

/// `ok`, or the name of the error.
fn outcome<T>(result: &io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => match error.raw_os_error() {
            Some(number) => format!("{:?}", Errno::from_raw(number)),
            None => error.kind().to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, io};

    use super::{CHECKS, names, outcome};

    #[test]
    fn a_check_is_known_by_its_name() {
        assert_eq!(names().collect::<HashSet<_>>().len(), CHECKS.len());
    }

    #[test]
    fn errors_have_the_names_that_manuals_use() {
        assert_eq!(outcome(&Ok(())), "ok");
        assert_eq!(outcome::<()>(&Err(io::Error::from_raw_os_error(122))), "EDQUOT");
        assert_eq!(outcome::<()>(&Err(io::ErrorKind::TimedOut.into())), "timed out");
    }
}
