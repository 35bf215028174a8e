//! A client connects to the server over a cable: the third time it gets a reset.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Daemon, Network, Stage, attempts};

const ATTACH: &str = "sudo limiterctl attach --interface eth0 --port 80 --rate '1/hour burst 2' --xdp-mode";
const LAST: &str = "limiterctl: port";
const WANTED: [&str; 4] = ["ok", "ok", "ECONNREFUSED", "ECONNREFUSED"];
const PATIENCE: Duration = Duration::from_secs(5);

/// Sockets that listen, which is all: the kernel completes connections by itself.
pub struct Website {
    _listeners: Vec<TcpListener>,
}

/// Listens on the server.
pub fn serve(network: &Network) -> Result<Website> {
    let listen = || network.targets.iter().map(TcpListener::bind).collect();
    Ok(Website { _listeners: network.server.run(listen)? })
}

/// Replies of a native program over veth reach the other end only if that has an XDP program as well. So another
/// limiterctl sits there, which knows nothing of the first, and limits a port that nobody uses.
const FAR_END: &str = "\
exec unshare -m sh -c 'mount -t tmpfs run /run; mount -t bpf bpf /sys/fs/bpf; \
exec \"$LIMITERCTL\" attach --interface server --port 1 --rate 1/s --action drop --xdp-mode native'";

/// With [`FAR_END`], which ends with the virtual machine.
pub fn attach_native(stage: &mut Stage) -> Result<String> {
    let Stage { hands, network, .. } = stage;
    let far_end = Daemon::start(hands, &network.router, FAR_END, LAST, |_| Ok(()));
    stage.far_end = Some(far_end.context("at the other end of the cable")?);
    stage.attach(&format!("{ATTACH} native"), LAST)
}

pub fn attach_generic(stage: &mut Stage) -> Result<String> {
    stage.attach(&format!("{ATTACH} generic"), LAST)
}

/// IPv4 and IPv6, which are two sources.
pub fn tcp(stage: &mut Stage) -> Result<String> {
    four_each(stage, WANTED)
}

pub fn detach(stage: &mut Stage) -> Result<String> {
    stage.detach()?;
    four_each(stage, ["ok"; 4])
}

fn four_each(stage: &Stage, wanted: [&str; 4]) -> Result<String> {
    let targets = &stage.network.targets;
    ensure!(targets.len() == 2, "this kernel has no IPv6");
    let connect = |target| {
        attempts(&stage.network.client, wanted, move || TcpStream::connect_timeout(target, PATIENCE))
    };
    let seen = targets.iter().map(connect).collect::<Result<Vec<_>>>()?;
    Ok(seen.join(", IPv6: "))
}
