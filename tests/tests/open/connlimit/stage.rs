//! A server, its clients, and one of the two limiters between them.

use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use limiter_tests::daemon::{Daemon, binary};
use limiter_tests::net::Host;
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use socket2::{Domain, Socket, Type};

use super::super::{PATIENCE, PORT, SERVERS, Scene, Server, dial};
use super::MAX;

/// So many refusals in a row are an answer. connlimit counts what it refuses as well, until the next tick but one.
const REFUSALS: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Over which IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Under what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limiter {
    Connlimit,
    Limiterctl,
}

/// Whose kernel is asked.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    Client,
    Server,
}

impl Limiter {
    pub const BOTH: [Self; 2] = [Self::Connlimit, Self::Limiterctl];
}

pub struct Stage {
    pub scene: Scene,
    pub open: Vec<TcpStream>,
    /// Sockets and ends of connections that somebody has to hold.
    pub held: Vec<Socket>,
    /// From where one more is tried.
    pub source: &'static str,
    family: Family,
    limiter: Limiter,
    server: Option<Server>,
    daemon: Option<Daemon>,
    begun: Instant,
}

impl Stage {
    pub fn new(family: Family, limiter: Limiter) -> Self {
        let scene = Scene::new();
        let (open, held, begun) = (Vec::new(), Vec::new(), Instant::now());
        let mut stage =
            Self { scene, open, held, source: "", family, limiter, server: None, daemon: None, begun };
        stage.source = stage.sources()[0];
        stage
    }

    /// Three of one /24 or /56, and one of another. The first two of IPv6 are of one /64.
    pub const fn sources(&self) -> [&'static str; 4] {
        match self.family {
            Family::V4 => ["10.1.0.5", "10.1.0.6", "10.1.0.7", "10.1.1.5"],
            Family::V6 => ["fd01:0:0:100::5", "fd01:0:0:100::6", "fd01:0:0:1ff::5", "fd01:0:0:200::5"],
        }
    }

    /// The server that does what clients ask for.
    pub fn serve(&mut self) {
        self.server = Some(Server::start(&self.scene.machine.host));
    }

    /// A server that accepts and keeps.
    pub fn holder(&self) -> Child {
        let mut command = self.scene.machine.host.command(binary().with_file_name("limiter-holder"));
        let mut server = command.arg("[::]:80").stdout(Stdio::piped()).spawn().unwrap();
        server.stdout.take().unwrap().read_exact(&mut [0; 9]).unwrap();
        server
    }

    /// Sets the limit, for what limiterctl takes for one source.
    pub fn limit(&mut self) {
        self.limit_by(32, 64);
    }

    /// Sets the limit, for prefixes of these lengths.
    pub fn limit_by(&mut self, v4: u8, v6: u8) {
        match self.limiter {
            Limiter::Connlimit => self.connlimit(&format!("--connlimit-mask {}", self.choose(v4, v6))),
            Limiter::Limiterctl => self.limiterctl(&["--source-prefix", &format!("{v4},{v6}")]),
        }
    }

    /// Sets the limit, for what each takes for one source unless told.
    pub fn limit_unmasked(&mut self) {
        match self.limiter {
            Limiter::Connlimit => self.connlimit(""),
            Limiter::Limiterctl => self.limiterctl(&[]),
        }
    }

    fn connlimit(&self, mask: &str) {
        let above = format!("-m connlimit --connlimit-above {MAX} {mask}");
        self.iptables(
            &self.scene.machine.host,
            &format!("-A INPUT -p tcp --syn --dport {PORT} {above} -j REJECT --reject-with tcp-reset"),
        );
    }

    fn limiterctl(&mut self, more: &[&str]) {
        let max = MAX.to_string();
        self.daemon = Some(self.scene.attach(&[&["--max-open", &max, "--action", "reset"], more].concat()));
    }

    fn iptables(&self, host: &Host, arguments: &str) {
        let program = self.choose("iptables", "ip6tables");
        let output = host.command(program).args(arguments.split_whitespace()).output();
        let output = output
            .unwrap_or_else(|error| panic!("{program} does not start ({error}); run cargo xtask setup"));
        assert!(
            output.status.success(),
            "{program} {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Opens all that the source may hold.
    pub fn fill(&mut self) {
        self.open = self.scene.connect_all(self.source, MAX);
    }

    /// Opens all that each of 200 sources may hold, while each tries to open more.
    pub fn fill_for_a_crowd(&mut self) {
        let sources: Vec<IpAddr> = (0..200).map(|i| self.neighbour(i)).collect();
        let each = |source: &IpAddr| -> Vec<_> { (0..MAX + 2).map(|_| dial(*source)).collect() };
        let tried: Vec<_> = self.scene.client.run(|| {
            thread::scope(|scope| {
                let halves = [&sources[..100], &sources[100..]];
                let halves =
                    halves.map(|half| scope.spawn(move || half.iter().map(each).collect::<Vec<_>>()));
                halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
            })
        });
        for attempts in &tried {
            assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), MAX, "{attempts:?}");
        }
        self.open = tried.into_iter().flatten().flatten().collect();
    }

    /// One of 200, the first of which is the source. Of IPv6, each has a /64 of its own.
    fn neighbour(&self, i: u16) -> IpAddr {
        match self.family {
            Family::V4 => [10, 1, 0, 5 + i as u8].into(),
            Family::V6 => [0xfd01, 0, 0, 0x100 + i, 0, 0, 0, 5].into(),
        }
    }

    /// From now on nobody hears SYN-ACKs on these ports of the client.
    pub fn deafen(&self, ports: &str) {
        self.iptables(
            &self.scene.client,
            &format!("-A INPUT -p tcp --dport {ports} --tcp-flags SYN,ACK SYN,ACK -j DROP"),
        );
    }

    /// Begins a handshake from each of these ports, for which the client has no socket.
    pub fn send_syns(&self, ports: RangeInclusive<usize>) {
        let client = &self.scene.client;
        let sender = Sender::open(client, "eth0");
        let macs = (client.mac("eth0"), self.scene.machine.host.mac("eth0"));
        for port in ports {
            let frame = match self.family {
                Family::V4 => Frame::ipv4(self.source, SERVERS[0]),
                Family::V6 => Frame::ipv6(self.source, SERVERS[1]),
            };
            sender.send(&frame.macs(macs.0, macs.1).tcp(port as u16, PORT).syn().build());
        }
    }

    /// Nothing passes any more between the client's ends and the server's.
    pub fn lose_the_client(&mut self) {
        for stream in std::mem::take(&mut self.open) {
            let port = stream.local_addr().unwrap().port();
            self.iptables(&self.scene.client, &format!("-A INPUT -p tcp --dport {port} -j DROP"));
            self.iptables(&self.scene.client, &format!("-A OUTPUT -p tcp --sport {port} -j DROP"));
        }
    }

    /// The server sends, gets no answer, and its kernel does not wait for long.
    pub fn have_the_server_notice(&self) {
        for socket in &self.held {
            socket.set_tcp_user_timeout(Some(PAUSE)).unwrap();
            socket.send(b"?").unwrap();
        }
    }

    /// Until a host's kernel has counted so many, under this name in /proc/net/snmp or /proc/net/netstat.
    #[track_caller]
    pub fn wait_for_counter(&self, side: Side, name: &str, expected: usize) {
        let host = match side {
            Side::Server => &self.scene.machine.host,
            Side::Client => &self.scene.client,
        };
        let begun = Instant::now();
        loop {
            let counted = host.run(|| counter(name));
            if counted == expected {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} should be {expected}: {counted}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A listener whose queue has room for one.
    pub fn listen_for_one(&self) -> Socket {
        let address = format!("[::]:{PORT}").parse::<SocketAddr>().unwrap();
        self.scene.machine.host.run(|| {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
            socket.set_only_v6(false).unwrap();
            socket.bind(&address.into()).unwrap();
            socket.listen(0).unwrap();
            socket
        })
    }

    /// Tries to connect, for a moment only.
    pub fn try_for_a_moment(&self) -> io::Result<()> {
        let server = SocketAddr::new(self.choose(SERVERS[0], SERVERS[1]).parse().unwrap(), PORT);
        let source = SocketAddr::new(self.source.parse().unwrap(), 0);
        self.scene.client.run(|| {
            let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
            socket.bind(&source.into())?;
            socket.connect_timeout(&server.into(), PAUSE)
        })
    }

    /// Lets conntrack remember silent connections in this state of its own for one second.
    pub fn shorten_memory(&self, state: &str) {
        let name = format!("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{state}");
        self.scene.machine.host.run(|| fs::write(name, "1")).unwrap();
    }

    /// Until conntrack knows of nothing. Under limiterctl it has never known of anything.
    pub fn wait_until_forgotten(&self) {
        let begun = Instant::now();
        let list = || {
            self.scene.machine.host.run(|| fs::read_to_string("/proc/thread-self/net/nf_conntrack")).unwrap()
        };
        while !list().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "{}", list());
            thread::sleep(PAUSE);
        }
    }

    /// Waits until the server has these sockets and no others.
    #[track_caller]
    pub fn settle(&self, expected: &[(&str, usize)]) {
        let begun = Instant::now();
        let expected: Vec<_> =
            expected.iter().flat_map(|(state, count)| vec![(*state).to_owned(); *count]).collect();
        loop {
            let sockets = self.sockets();
            if sockets == expected {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "the server should have {expected:?}: {sockets:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// States of the server's sockets, sorted. An orphan is one of the small ones that belong to no process.
    fn sockets(&self) -> Vec<String> {
        let mut command = self.scene.machine.host.command("ss");
        command.args(["-t", "-n", "-o", "-H", "state", "connected", "sport", "=", ":80"]);
        let output = command.output().expect("ss is part of iproute2");
        let text = String::from_utf8(output.stdout).unwrap();
        let state = |line: &str| {
            let orphan = line.starts_with("FIN-WAIT-2") && line.contains("timer:(timewait");
            let state = line.split_whitespace().next().unwrap();
            if orphan { "orphan".to_owned() } else { state.to_owned() }
        };
        let mut states: Vec<_> = text.lines().map(state).collect();
        states.sort();
        states
    }

    /// How many more are admitted, of one more than the source may hold at all.
    pub fn admitted(&mut self) -> usize {
        let (mut admitted, mut refused) = (0, 0);
        while admitted <= MAX && refused < REFUSALS {
            match self.scene.connect(self.source) {
                Ok(stream) => {
                    self.open.push(stream);
                    (admitted, refused) = (admitted + 1, 0);
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
                    refused += 1;
                    thread::sleep(PAUSE);
                }
            }
        }
        admitted
    }

    /// From now on its age counts.
    pub fn start_the_clock(&mut self) {
        self.begun = Instant::now();
    }

    /// How long ago the clock was started.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Holds the server's ends of all connections, whose clients have asked it to keep them.
    pub fn keep(&mut self) {
        let begun = Instant::now();
        let server = self.server.as_ref().unwrap();
        while self.held.len() < self.open.len() {
            self.held.extend(server.kept().into_iter().map(Socket::from));
            assert!(begun.elapsed() < PATIENCE, "it keeps {}", self.held.len());
            thread::yield_now();
        }
    }

    fn choose<T>(&self, v4: T, v6: T) -> T {
        match self.family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

/// A TCP counter of the host that the thread is on.
fn counter(name: &str) -> usize {
    let text =
        ["snmp", "netstat"].map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap());
    let lines: Vec<_> =
        text.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("Tcp")).collect();
    // Names stand in one line, numbers in the next.
    let mut columns = lines.chunks(2).flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')));
    let (_, number) = columns.find(|(other, _)| *other == name).unwrap();
    number.parse().unwrap()
}
