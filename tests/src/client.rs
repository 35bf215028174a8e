//! A process in a cgroup that resolves names and connects as a test tells it to.
//!
//! Whatever limits what leaves a cgroup looks at processes, and the test itself must stay outside. So the sockets of
//! these tests belong to `limiter-client`.

pub mod protocol;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::cgroup::Cgroup;
use crate::net::{Host, Sandbox};
use crate::programs;
use protocol::{Attempt, ConnectedSends, Counts, Found, How, Lookup, Names, Request, Resolved, Sockets};

/// For so long one request may take, beyond the time that it asks for itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running client. It ends with the thread that started it, and when it is dropped.
///
/// Addresses are parsed. All methods wait for their end; for something else meanwhile there are [`Client::tell`] and
/// [`Client::hear`].
#[derive(Debug)]
pub struct Client {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<String>,
}

impl Client {
    /// Starts one on a host, in a cgroup.
    #[track_caller]
    pub fn start(host: &Host, cgroup: &Cgroup) -> Self {
        Self::spawn(host, host.command(programs::path("limiter-client")), cgroup)
    }

    /// The same with the files of a sandbox, such as its resolver's.
    #[track_caller]
    pub fn start_in(host: &Host, sandbox: &Sandbox, cgroup: &Cgroup) -> Self {
        Self::spawn(host, host.command_in(sandbox, programs::path("limiter-client")), cgroup)
    }

    #[track_caller]
    fn spawn(host: &Host, mut command: Command, cgroup: &Cgroup) -> Self {
        host.allow_ping();
        cgroup.place(&mut command);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("limiter-client starts");
        let requests = child.stdin.take().expect("a pipe");
        let stdout = child.stdout.take().expect("a pipe");
        let (reply, replies) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| reply.send(line))
        });
        Self { child, requests, replies }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for the IPv4 addresses of a name, by UDP.
    #[track_caller]
    pub fn resolve(&mut self, name: &str, server: &str) -> Resolved {
        self.look_up(Lookup::new(name, address(server)))
    }

    /// Asks in any way.
    #[track_caller]
    pub fn look_up(&mut self, lookup: Lookup) -> Resolved {
        self.ask(&Request::Resolve(lookup), 0.0)
    }

    /// Connects a new socket, and closes it.
    #[track_caller]
    pub fn connect(&mut self, how: How, to: &str) -> Attempt {
        self.ask(&Request::Connect { to: address(to), how }, 0.0)
    }

    /// Sends datagrams without connecting.
    #[track_caller]
    pub fn send_to(&mut self, how: How, to: &str, times: u64, socket: Sockets) -> Counts {
        self.ask(&Request::Sendto { to: address(to), how, times, socket }, 0.0)
    }

    /// Connects one socket and sends datagrams from it.
    #[track_caller]
    pub fn connect_send(&mut self, how: How, to: &str, times: u64) -> ConnectedSends {
        self.ask(&Request::ConnectSend { to: address(to), how, times }, 0.0)
    }

    /// Connects at exact times, and says when each attempt was made and its error, or 0. Whoever is kept from the CPU
    /// catches up at once, so that the number is always that of rate and time.
    #[track_caller]
    pub fn hammer(&mut self, how: How, to: &str, per_second: f64, seconds: f64) -> Vec<(u64, i32)> {
        self.ask(&Request::Hammer { to: address(to), how, per_second, seconds }, seconds)
    }

    /// Connects as fast as possible, by several threads spread over the CPUs.
    #[track_caller]
    pub fn flood(&mut self, how: How, to: &str, seconds: f64, threads: usize) -> Counts {
        self.ask(&Request::Flood { to: address(to), how, seconds, threads }, seconds)
    }

    /// Resolves numbered names, and sends a datagram to each right after. The pattern has `{}` for the number.
    #[track_caller]
    pub fn names(&mut self, numbers: Range<u64>, pattern: &str, server: &str, threads: usize) -> Names {
        let Range { start: from, end: to } = numbers;
        self.ask(&Request::Names { from, to, pattern: pattern.into(), server: address(server), threads }, 0.0)
    }

    /// Asks the C library.
    #[track_caller]
    pub fn getaddrinfo(&mut self, name: &str, port: u16) -> Found {
        self.ask(&Request::Getaddrinfo { name: name.into(), port }, 0.0)
    }

    #[track_caller]
    fn ask<T: DeserializeOwned>(&mut self, request: &Request, seconds: f64) -> T {
        self.tell(request);
        self.hear(Duration::from_secs_f64(seconds))
    }

    /// Starts something.
    #[track_caller]
    pub fn tell(&mut self, request: &Request) {
        let request = serde_json::to_string(request).expect("a request is JSON");
        writeln!(self.requests, "{request}").expect("limiter-client runs");
    }

    /// Waits for the reply to what was told first and has not been heard of yet. That may take so long, and a minute on
    /// top.
    #[track_caller]
    pub fn hear<T: DeserializeOwned>(&mut self, duration: Duration) -> T {
        let line = self.replies.recv_timeout(duration + PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("limiter-client says nothing: {error}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address with a port"))
}
