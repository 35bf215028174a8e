//! A process in a cgroup connects: a closed port answers what is let through, and the limit what is not.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Host, Stage, attempts, names};

/// A rule for each check. The last has another burst than the default rule: what a name is allowed says by which it was
/// judged.
const ATTACH: &str = "\
sudo limiterctl attach --cgroup app --default-rate '1/hour burst 2' \
--host '127.0.0.0/8 = 1/hour burst 2' --host '::1 = 1/hour burst 2' \
--host '127.0.0.2 = 1/hour burst 2' --host '127.0.0.3 = 1/hour burst 2' \
--host '*.example = 1/hour burst 3'";
const LAST: &str = "limiterctl: *.example: ";

const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
const NAME: &str = "site.example";
/// The server's own address, which no rule lists.
const ZONE: &[(&str, Ipv4Addr)] = &[(NAME, Ipv4Addr::new(192, 0, 2, 80))];

/// Nobody serves it.
const PORT: u16 = 9;
const PATIENCE: Duration = Duration::from_secs(5);

const TCP_BURST_OF_2: [&str; 4] = ["ECONNREFUSED", "ECONNREFUSED", "EDQUOT", "EDQUOT"];
const TCP_BURST_OF_3: [&str; 4] = ["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "EDQUOT"];
const TCP_WITHOUT_LIMIT: [&str; 4] = ["ECONNREFUSED"; 4];
const UDP_BURST_OF_2: [&str; 4] = ["ok", "ok", "EDQUOT", "EDQUOT"];

/// Serves names, and tells the resolver.
pub fn serve_names(host: &Host) -> Result<()> {
    names::serve(host, NAME_SERVER, ZONE)?;
    fs::write("/etc/resolv.conf", format!("nameserver {NAME_SERVER}\n")).context("cannot write resolv.conf")
}

pub fn attach(stage: &mut Stage) -> Result<String> {
    stage.attach(ATTACH, LAST)
}

pub fn tcp(stage: &mut Stage) -> Result<String> {
    in_cgroup(stage, TCP_BURST_OF_2, || connect(local(1)))
}

pub fn tcp_over_ipv6(stage: &mut Stage) -> Result<String> {
    in_cgroup(stage, TCP_BURST_OF_2, || connect((Ipv6Addr::LOCALHOST, PORT).into()))
}

pub fn udp_connected(stage: &mut Stage) -> Result<String> {
    in_cgroup(stage, UDP_BURST_OF_2, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(local(2))?;
        socket.send(b"?")
    })
}

pub fn udp(stage: &mut Stage) -> Result<String> {
    in_cgroup(stage, UDP_BURST_OF_2, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(b"?", local(3)))
}

/// The kernel must have read the answer that the C library got.
pub fn name(stage: &mut Stage) -> Result<String> {
    in_cgroup(stage, TCP_BURST_OF_3, || {
        let address = (NAME, PORT).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        connect(address)
    })
}

pub fn why(stage: &mut Stage) -> Result<String> {
    let why = stage.hands.run(&stage.network.server, &format!("sudo limiterctl why {NAME}"))?;
    let answer = why.text.lines().next().unwrap_or_default();
    ensure!(why.code == Some(0) && answer.contains("refused; over rate"), "{}", why.text);
    Ok(answer.to_owned())
}

pub fn detach(stage: &mut Stage) -> Result<String> {
    stage.detach()?;
    in_cgroup(stage, TCP_WITHOUT_LIMIT, || connect(local(1)))
}

/// An address of loopback: each check has its own, because a rule is used up by the first.
fn local(last: u8) -> SocketAddr {
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), PORT).into()
}

fn connect(to: SocketAddr) -> io::Result<()> {
    TcpStream::connect_timeout(&to, PATIENCE).map(drop)
}

/// Makes four attempts as a process of the cgroup.
fn in_cgroup<T>(
    stage: &Stage,
    wanted: [&str; 4],
    attempt: impl Fn() -> io::Result<T> + Sync,
) -> Result<String> {
    move_to(&stage.cgroup)?;
    let seen = attempts(&stage.network.server, wanted, attempt);
    move_to(stage.cgroup.parent().context("the cgroup has no parent")?)?;
    seen
}

/// Moves this process. A socket stays where it was opened.
fn move_to(cgroup: &Path) -> Result<()> {
    let processes = cgroup.join("cgroup.procs");
    fs::write(&processes, "0").with_context(|| format!("cannot write {}", processes.display()))
}
