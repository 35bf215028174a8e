//! A host and a cgroup of the bench's own, the process in it, and the servers that it connects to.

use std::cell::RefCell;
use std::env;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use anyhow::{Context as _, anyhow, bail, ensure};
use limiter_tests::cgroup::Cgroup;
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::Host;
use socket2::{Domain, Socket, Type};

use super::clients::python::{CLIENT, PYTHON};
use super::protocol::{Addresses, Done, Job, Request};

/// Where the process in the cgroup runs.
pub const CPU: usize = 0;
/// Where everybody else does.
pub const OTHER_CPU: usize = 1;
/// A name that the DNS server knows.
pub const NAME: &str = "www.bench.test";
/// The DNS server.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
/// What is connected to over and over.
pub const ONE: Addresses = Addresses::one(FIRST);
/// What is connected to in turn.
pub const MANY: Addresses = Addresses { first: FIRST, count: 100_000 };
/// Has used up all that it may.
pub const SPENT: Addresses = Addresses::one(Ipv4Addr::new(10, 66, 0, 1));
/// Below this all addresses are the host's own, but not loopback's, which is exempt.
const NETWORK: &str = "10.64.0.0/10";
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);

/// Port of the server that takes connections, and of the one that takes datagrams and drops them.
const PORT: u16 = 9;
const BULK_PORT: u16 = 10;
const DNS_PORT: u16 = 53;
/// More than one job's connections.
const BACKLOG: i32 = 4096;

/// Which process in the cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// This program.
    Rust,
    /// Python, where it was started.
    Python,
}

/// All of it. It ends with the bench, whatever ends that.
pub struct Place {
    worker: RefCell<Worker>,
    python: Option<RefCell<Worker>>,
    /// Where the process is.
    pub cgroup: Cgroup,
    /// Where its network is.
    pub host: Host,
    listener: TcpListener,
    bulk: TcpListener,
    _sink: UdpSocket,
    _dns: DnsServer,
}

impl Place {
    /// Starts it all.
    pub fn new() -> anyhow::Result<Self> {
        let (host, cgroup) = (Host::new("bench"), Cgroup::new());
        host.add_address("lo", &format!("{DNS}/32"));
        host.ip(&format!("route add local {NETWORK} dev lo"));
        let zone = Zone::new();
        zone.set(NAME, Answer::alias(300, "edge.bench.test"));
        zone.set("edge.bench.test", Answer::addresses(300, &["10.65.0.1", "2001:db8::1"]));
        Ok(Self {
            worker: RefCell::new(Worker::start(&host, &cgroup)?),
            python: None,
            listener: host.run(|| listen(PORT))?,
            bulk: host.run(|| listen(BULK_PORT))?,
            _sink: host.run(sink)?,
            _dns: DnsServer::start(&host, SocketAddr::from((DNS, DNS_PORT)), &zone),
            host,
            cgroup,
        })
    }

    /// Starts the process in Python.
    pub fn start_python(&mut self) -> anyhow::Result<()> {
        let mut command = self.host.command(PYTHON);
        command.args(["-c", CLIENT]);
        self.python = Some(RefCell::new(Worker::spawn(command, &self.cgroup)?));
        Ok(())
    }

    /// Lets the process do something, and cleans up after it.
    pub fn ask(&self, job: Job, to: Addresses, times: u32) -> anyhow::Result<Done> {
        self.ask_of(Who::Rust, job, to, times)
    }

    /// The same of the other process.
    pub fn ask_of(&self, who: Who, job: Job, to: Addresses, times: u32) -> anyhow::Result<Done> {
        let (is_bulk, port) = match job {
            Job::LookUp => (false, DNS_PORT),
            Job::Bulk => (true, BULK_PORT),
            Job::AskRoute => (false, 0),
            _ => (false, PORT),
        };
        let connects = matches!(job, Job::TcpConnect | Job::TcpConnectAsking(_) | Job::View(_));
        ensure!(times <= BACKLOG as u32 || !connects, "the backlog has no room");
        let request = Request { job, to, port, times };
        let worker = match who {
            Who::Rust => &self.worker,
            Who::Python => self.python.as_ref().context("there is no Python here")?,
        };
        let mut worker = worker.try_borrow_mut()?;
        let done = thread::scope(|scope| {
            let bulk = &self.bulk;
            let server = is_bulk.then(|| scope.spawn(move || read_all(bulk)));
            let done = worker.ask(&request);
            if is_bulk && done.is_err() {
                // Or the server would wait for it forever.
                let _ = self.host.run(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
            }
            let done = done?;
            if let Some(server) = server {
                let read = server.join().map_err(|_| anyhow!("the server panicked"))??;
                ensure!(read == u64::from(times) * 1024, "{read} bytes came of {times} KiB");
            }
            Ok(done)
        })?;
        drain(&self.listener)?;
        Ok(done)
    }
}

struct Worker {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Worker {
    fn start(host: &Host, cgroup: &Cgroup) -> anyhow::Result<Self> {
        let mut command = host.command(env::current_exe()?);
        command.arg("--worker");
        Self::spawn(command, cgroup)
    }

    fn spawn(mut command: Command, cgroup: &Cgroup) -> anyhow::Result<Self> {
        cgroup.place(&mut command);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.context("cannot start the process that connects")?;
        let requests = child.stdin.take().context("no pipe")?;
        let replies = BufReader::new(child.stdout.take().context("no pipe")?);
        Ok(Self { child, requests, replies })
    }

    fn ask(&mut self, request: &Request) -> anyhow::Result<Done> {
        writeln!(self.requests, "{}", serde_json::to_string(request)?)?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply)?;
        if reply.is_empty() {
            bail!("the process that connects has ended; what it said is above");
        }
        Ok(serde_json::from_str(&reply)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes nothing out of its buffer, which is full at once: what comes is dropped, and nobody is woken.
fn sink() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(0)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into())?;
    Ok(socket.into())
}

/// Nobody waits in `accept()` while connections are timed: to wake somebody up would be timed as well.
fn drain(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn read_all(listener: &TcpListener) -> io::Result<u64> {
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; 1 << 20];
    let mut sum = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(sum),
            length => sum += length as u64,
        }
    }
}
