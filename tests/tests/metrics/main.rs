//! `/metrics`: a real daemon, real clients good and bad, a real Prometheus.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod capacity;
mod clients;
mod flag;
mod names;
mod prometheus;
mod values;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;

const ADDRESS: &str = "127.0.0.1:9469";
/// Long enough for a machine that does something else meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server, a client on its link, and a cgroup.
struct Scene {
    machine: Machine,
    client: Host,
    cgroup: Cgroup,
}

impl Scene {
    fn new() -> Self {
        let (machine, client) = Machine::with_client(LinkOptions::default());
        Self { machine, client, cgroup: Cgroup::new() }
    }

    /// Limits both directions in every way that has a metric.
    #[track_caller]
    fn attach(&self, more: &[&str]) -> Daemon {
        let cgroup = self.cgroup.path().to_str().unwrap();
        let inbound = ["--interface", "eth0", "--port", "80", "--rate", "1/hour burst 3", "--max-open", "9"];
        let outbound = ["--cgroup", cgroup, "--default-rate", "1/hour burst 2", "--strangers-rate", "900/s"];
        self.machine.attach(&[&inbound[..], &outbound, more].concat())
    }

    /// SYNs from 198.51.100.1 to port 80.
    fn send_syns(&self, count: usize) {
        let frame = Frame::ipv4("198.51.100.1", "192.0.2.1").tcp(40_000, 80).syn().build();
        let sender = Sender::open(&self.client, "eth0");
        (0..count).for_each(|_| sender.send(&frame));
    }

    fn page(&self) -> String {
        get(&self.machine.host, ADDRESS, "/metrics").page()
    }

    /// The page, once it has this line.
    #[track_caller]
    fn page_with(&self, line: &str) -> String {
        wait_for(|| Some(self.page()).filter(|page| has(page, line)).ok_or_else(|| self.page()))
    }
}

/// An answer.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    #[track_caller]
    fn page(self) -> String {
        assert_eq!(self.status(), 200, "{}\n{}", self.head, self.body);
        self.body
    }
}

/// Asks for a path, by HTTP/1.0: the answer ends with the connection.
fn get(host: &Host, address: &str, path: &str) -> Answer {
    ask(host, address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// Says this and reads to the end.
fn ask(host: &Host, address: &str, request: &str) -> Answer {
    let mut stream = connect(host, address);
    // Whoever is refused half way is told so all the same.
    let _ = stream.write_all(request.as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    Answer { head: head.into(), body: body.into() }
}

#[track_caller]
fn connect(host: &Host, address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let stream = wait_for(|| host.run(|| TcpStream::connect(address)));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn has(page: &str, line: &str) -> bool {
    page.lines().any(|own| own == line)
}

#[track_caller]
fn assert_has(page: &str, lines: &[&str]) {
    let missing: Vec<_> = lines.iter().filter(|line| !has(page, line)).collect();
    assert!(missing.is_empty(), "{missing:#?}\nare not in\n{page}");
}

/// Tries until it works.
#[track_caller]
fn wait_for<T, E: std::fmt::Debug>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => assert!(start.elapsed() < PATIENCE, "it never came: {error:#?}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
