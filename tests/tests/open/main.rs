//! How many connections a source may hold open: a real server, clients with many addresses, and the kernel's own list of
//! sockets (`ss`) to compare with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod burst;
mod connlimit;
mod fast_open;
mod limit;
mod place;
mod server;
mod states;
mod storm;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions, connect_from};
use serde_json::Value;
use server::Server;
use socket2::SockRef;

const PORT: u16 = 80;
const SERVERS: [&str; 2] = ["10.0.0.1", "fd00::1"];
/// Long enough for a machine that does something else meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);

/// Connections of each source prefix.
type Counts = BTreeMap<String, u64>;

/// A server's machine, and one with all addresses of 10.1.0.0/16 and `fd01::/48`.
struct Scene {
    machine: Machine,
    client: Host,
}

impl Scene {
    fn new() -> Self {
        let (machine, client) = Machine::with_client(LinkOptions::default());
        for (host, v4, v6) in
            [(&machine.host, "10.0.0.1/24", "fd00::1/64"), (&client, "10.0.0.2/24", "fd00::2/64")]
        {
            host.add_address("eth0", v4);
            host.add_address("eth0", v6);
        }
        machine.host.add_route("10.1.0.0/16", "via 10.0.0.2");
        machine.host.ip("-6 route add fd01::/48 via fd00::2");
        client.ip("route add local 10.1.0.0/16 dev lo");
        client.ip("-6 route add local fd01::/48 dev lo");
        // IPv6 lets nobody have an address for the route alone.
        client.run(|| fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1")).unwrap();
        let scene = Self { machine, client };
        scene.introduce();
        scene
    }

    /// Tells the client where the server is: it would ask from a link-local address, and has none.
    fn introduce(&self) {
        self.client.add_neighbour("eth0", SERVERS[1].parse().unwrap(), self.machine.host.mac("eth0"));
    }

    fn attach(&self, more: &[&str]) -> Daemon {
        self.machine.attach(&[&["--interface", "eth0", "--port", "80"], more].concat())
    }

    /// Opens a connection from this address.
    fn connect(&self, source: &str) -> io::Result<TcpStream> {
        let source = source.parse().unwrap();
        self.client.run(|| dial(source))
    }

    /// Opens so many, which must all be admitted.
    #[track_caller]
    fn connect_all(&self, source: &str, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| self.connect(source).expect("within the limit")).collect()
    }

    /// Holds that one more is refused.
    #[track_caller]
    fn is_refused(&self, source: &str) {
        let error = self.connect(source).expect_err("over the limit");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    }

    /// Tries until one more is admitted.
    #[track_caller]
    fn admitted_at_last(&self, source: &str) -> TcpStream {
        let (begun, mut refused) = (Instant::now(), 0);
        loop {
            match self.connect(source) {
                Ok(stream) => {
                    println!("admitted after {refused} refusals, {:?}", begun.elapsed());
                    return stream;
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}"),
            }
            refused += 1;
            assert!(begun.elapsed() < PATIENCE, "still refused: {}", self.rule());
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn rule(&self) -> Value {
        self.machine.status()["rules"][0].clone()
    }

    /// Connections that were open when the kernel and limiterctl agreed about them, by addresses.
    #[track_caller]
    fn agree(&self) -> Counts {
        self.agree_by(32, 64)
    }

    /// The same by prefixes of these lengths.
    #[track_caller]
    fn agree_by(&self, v4: u32, v6: u32) -> Counts {
        let begun = Instant::now();
        loop {
            // What changes between two looks is no answer.
            let (before, counted, after) = (self.listed(v4, v6), self.counted(), self.listed(v4, v6));
            if before == after && counted == before {
                println!("agreed after {:?}", begun.elapsed());
                return counted;
            }
            assert!(begun.elapsed() < PATIENCE, "counted {counted:?}\nkernel  {after:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until they agree that this source holds so many.
    #[track_caller]
    fn agree_on(&self, source: &str, open: u64) {
        let begun = Instant::now();
        loop {
            let counts = self.agree();
            if counts.get(source).copied().unwrap_or(0) == open {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{source} should hold {open}: {counts:?}");
        }
    }

    fn counted(&self) -> Counts {
        let said = self.machine.limiterctl(&["list", "sources", "--all", "--output", "json"]);
        assert_eq!(said.code, 0, "{said:?}");
        let sources: Value = serde_json::from_str(&said.stdout).unwrap();
        let sources = sources.as_array().unwrap().iter();
        sources.map(|s| (s["source"].as_str().unwrap().into(), s["open"].as_u64().unwrap())).collect()
    }

    /// In the words of ss(8). It shows the small sockets of `FIN_WAIT2` and `TIME_WAIT` with a timer of that name.
    fn listed(&self, v4: u32, v6: u32) -> Counts {
        const OPEN: [&str; 6] = ["ESTAB", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "LAST-ACK", "CLOSING"];
        let mut command = self.machine.host.command("ss");
        command.args(["-t", "-n", "-o", "-H", "state", "connected", "sport", "=", ":80"]);
        let output = command.stderr(Stdio::inherit()).output().expect("ss is part of iproute2");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut counts = Counts::new();
        for line in text.lines().filter(|line| !line.contains("timer:(timewait")) {
            let fields: Vec<_> = line.split_whitespace().collect();
            if OPEN.contains(&fields[0]) {
                let (address, _) = fields[4].rsplit_once(':').unwrap();
                let address: IpAddr = address.trim_matches(['[', ']']).parse().unwrap();
                *counts.entry(prefix(address, v4, v6)).or_default() += 1;
            }
        }
        counts
    }
}

fn prefix(address: IpAddr, v4: u32, v6: u32) -> String {
    let mask = |bits: u128, length: u32| bits & u128::MAX << (128 - length);
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let masked = mask(address.to_ipv6_mapped().to_bits(), 96 + v4);
            format!("{}/{v4}", Ipv6Addr::from_bits(masked).to_canonical())
        }
        IpAddr::V6(address) => format!("{}/{v6}", Ipv6Addr::from_bits(mask(address.to_bits(), v6))),
    }
}

/// Opens a connection from this address, on the host that the thread is on.
fn dial(source: IpAddr) -> io::Result<TcpStream> {
    let server = if source.is_ipv4() { SERVERS[0] } else { SERVERS[1] };
    connect_from(source, SocketAddr::new(server.parse().unwrap(), PORT), PATIENCE)
}

/// Ends a connection by an RST.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}
