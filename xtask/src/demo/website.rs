//! The website: Python's HTTP server on port 80, with one page.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::hosts::Host;

/// Without an end of line: curl's words go on where the page ends.
const PAGE: &str = "Welcome! ";

/// In the demo's own `/run`, which vanishes with it.
const FOLDER: &str = "/run/website";

/// `python3 -m http.server`, but with a longer queue: its own holds five connections, and the kernel keeps the sixth
/// of a burst waiting for a second.
const SERVER: &str = "\
import runpy, socketserver
socketserver.TCPServer.request_queue_size = 128
runpy.run_module('http.server', run_name='__main__')";

const PATIENCE: Duration = Duration::from_secs(20);

/// Starts it on a host, for all these addresses, and comes back when it answers.
pub fn serve(host: &Host, addresses: &[SocketAddr]) -> Result<Child> {
    fs::create_dir(FOLDER).and_then(|()| fs::write(format!("{FOLDER}/index.html"), PAGE))?;
    // Bound to all of IPv6, it serves IPv4 as well.
    let all = if addresses.iter().any(SocketAddr::is_ipv6) { "::" } else { "0.0.0.0" };
    let mut python = Command::new("python3");
    python.args(["-c", SERVER, "80", "--directory", FOLDER, "--bind", all]);
    python.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = host.run(|| python.spawn()).context("cannot start python3")?;

    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let deadline = Instant::now() + PATIENCE;
    while host.run(|| TcpStream::connect(own)).is_err() {
        ensure!(server.try_wait()?.is_none(), "python3 does not serve: it has ended");
        ensure!(Instant::now() < deadline, "python3 does not answer on port 80");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}
