//! The process in the cgroup: it connects, and times that.
//!
//! A process of its own, because whatever limits a cgroup looks at processes, and the bench must stay outside.

use std::collections::HashMap;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use limiter_tests::dns::A;
use limiter_tests::wire::pin;
use nix::libc::EDQUOT;
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, SockAddr, Socket, Type};

use super::place::{CPU, NAME};
use super::protocol::{Done, Job, Request};
use super::redis::Redis;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// What this process alone uses up.
const PROCESSOR: ClockId = ClockId::CLOCK_PROCESS_CPUTIME_ID;
/// What one call sends in bulk.
const CHUNK: usize = 1 << 17;

/// Works until stdin ends.
///
/// # Errors
///
/// The first that is no refusal.
pub fn run() -> anyhow::Result<()> {
    pin(CPU);
    let mut worker = Worker { passed: HashMap::new(), udp: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))? };
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let done = worker.work(&request).with_context(|| format!("{request:?}"))?;
        writeln!(stdout, "{}", serde_json::to_string(&done)?)?;
    }
    Ok(())
}

struct Worker {
    /// How many of a row of addresses were used, by the first.
    passed: HashMap<Ipv4Addr, u32>,
    udp: UdpSocket,
}

impl Worker {
    fn work(&mut self, request: &Request) -> anyhow::Result<Done> {
        let passed = self.passed.entry(request.to.first).or_default();
        let first = *passed;
        *passed = first.wrapping_add(request.times) % request.to.count;
        let to = (0..request.times).map(|number| request.to.socket(first + number, request.port));
        match &request.job {
            Job::UdpConnect(None) | Job::AskRoute => in_a_loop(PROCESSOR, to, |to| self.udp.connect(to)),
            Job::UdpConnect(Some(path)) => {
                let mut redis = Redis::connect(path)?;
                in_a_loop(ClockId::CLOCK_MONOTONIC, to, |to| {
                    redis.ask(*to.ip())?;
                    self.udp.connect(to)
                })
            }
            Job::UdpSend => {
                // Of its own: a socket that was connected before sends by another way.
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                in_a_loop(PROCESSOR, to, |to| socket.send_to(&[0; 16], to).map(drop))
            }
            Job::TcpConnect => one_by_one(to, |to| connect(to, || Ok(()))),
            Job::TcpConnectAsking(path) => {
                let mut redis = Redis::connect(path)?;
                one_by_one(to, |to| connect(to, || redis.ask(*to.ip())))
            }
            Job::View(_) => bail!("only Python has views"),
            Job::LookUp => one_by_one(to, look_up),
            Job::Bulk => bulk(request.to.socket(0, request.port), request.times),
        }
    }
}

impl Done {
    fn count(&mut self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Ok(()) => self.ok += 1,
            Err(error) if error.raw_os_error() == Some(EDQUOT) => self.refused += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Of processor time where nothing waits: what else runs there is not counted in.
fn in_a_loop(
    clock: ClockId,
    to: impl Iterator<Item = SocketAddrV4>,
    mut call: impl FnMut(SocketAddrV4) -> io::Result<()>,
) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut count = 0;
    let start = now(clock)?;
    for to in to {
        count += 1;
        done.count(call(to))?;
    }
    let time = now(clock)?.saturating_sub(start);
    done.ns = time.as_secs_f64() * 1e9 / f64::from(count);
    Ok(done)
}

fn now(clock: ClockId) -> nix::Result<Duration> {
    clock_gettime(clock).map(Duration::from)
}

fn one_by_one(
    to: impl Iterator<Item = SocketAddrV4>,
    mut call: impl FnMut(SocketAddrV4) -> io::Result<(Duration, io::Result<()>)>,
) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut times = Vec::new();
    let start = Instant::now();
    for to in to {
        let (time, result) = call(to)?;
        done.count(result)?;
        times.push(time);
    }
    done.per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |place: usize| times.get(place).map(|time| time.as_secs_f64() * 1e9);
    done.ns = at(times.len() / 2).context("nothing to do")?;
    done.p99 = at(times.len() * 99 / 100).context("nothing to do")?;
    Ok(done)
}

/// Times `connect()` and what goes before it, and nothing else. The reset leaves no socket in `TIME_WAIT`, and so no port that is used up.
fn connect(to: SocketAddrV4, ask: impl FnOnce() -> io::Result<()>) -> io::Result<(Duration, io::Result<()>)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    let to = SockAddr::from(to);
    let start = Instant::now();
    ask()?;
    let result = socket.connect(&to);
    Ok((start.elapsed(), result))
}

/// Times all that an application does for a name.
fn look_up(server: SocketAddrV4) -> io::Result<(Duration, io::Result<()>)> {
    const ID: [u8; 2] = [0x12, 0x34];
    let query = query(ID);
    let mut answer = [0; 512];
    let start = Instant::now();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&query)?;
    let length = socket.recv(&mut answer)?;
    let time = start.elapsed();
    // The alias and the address behind it.
    let is_answered = length > query.len() && answer[..2] == ID && answer[6..8] == [0, 2];
    Ok((time, if is_answered { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }))
}

/// Asks for the address of [`NAME`].
fn query(id: [u8; 2]) -> Vec<u8> {
    let mut query = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in NAME.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, A as u8, 0, 1]);
    query
}

fn bulk(to: SocketAddrV4, kibibytes: u32) -> anyhow::Result<Done> {
    let chunk = vec![0; CHUNK];
    let mut stream = TcpStream::connect(SocketAddr::from(to))?;
    let start = Instant::now();
    let mut left = kibibytes as usize * 1024;
    while left > 0 {
        left -= stream.write(&chunk[..left.min(CHUNK)])?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // The server closes after it has read all.
    let rest = stream.read(&mut [0])?;
    ensure!(rest == 0, "the server said something");
    Ok(Done { ns: start.elapsed().as_secs_f64() * 1e9 / f64::from(kibibytes), ok: 1, ..Done::default() })
}
