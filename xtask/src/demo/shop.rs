//! The shop: a web application that asks other sites for its visitors, in a cgroup as systemd gives one to a service.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{cgroup, hosts::Host};

pub const UNIT: &str = "shop.service";
/// Where it answers on its host.
pub const PORT: u16 = 8000;

const APPLICATION: &str = include_str!("shop.py");
/// In the demo's own `/run`.
const FILE: &str = "/run/shop.py";
const START: &str = r#"echo 0 >"$1/cgroup.procs" && exec python3 "$2""#;
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts it, and comes back when it answers.
pub fn open(host: &Host) -> Result<Child> {
    let cgroup = cgroup::make(UNIT)?;
    fs::write(FILE, APPLICATION)?;
    let mut shell = Command::new("sh");
    shell.args(["-c", START, "shop"]).arg(cgroup).arg(FILE);
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    let mut shop = host.run(|| shell.spawn()).context("cannot start the shop")?;

    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let deadline = Instant::now() + PATIENCE;
    while host.run(|| TcpStream::connect(own)).is_err() {
        ensure!(shop.try_wait()?.is_none(), "the shop does not open: it has ended");
        ensure!(Instant::now() < deadline, "the shop does not answer on port {PORT}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(shop)
}
