//! What a test says to `limiter-client`, one line of JSON each, and what comes back. Times are `CLOCK_MONOTONIC`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Asks a DNS server; the reply is [`Resolved`].
    Resolve(Lookup),
    /// Connects a new socket, which sends where that is no connection yet, and closes it at once; the reply is [`Attempt`].
    Connect {
        /// Where to.
        to: SocketAddr,
        /// By which kind of socket.
        how: How,
    },
    /// Sends datagrams without connecting; the reply is [`Counts`].
    Sendto {
        /// Where to.
        to: SocketAddr,
        /// By which kind of socket.
        how: How,
        /// How many.
        times: u64,
        /// Whether from one socket.
        socket: Sockets,
    },
    /// Connects one socket and sends datagrams from it; the reply is [`ConnectedSends`].
    ConnectSend {
        /// Where to.
        to: SocketAddr,
        /// By which kind of socket.
        how: How,
        /// How many.
        times: u64,
    },
    /// Connects at exact times; the reply is a list of the times and error numbers of [`Request::Connect`].
    Hammer {
        /// Where to.
        to: SocketAddr,
        /// By which kind of socket.
        how: How,
        /// Attempts a second.
        per_second: f64,
        /// For how long.
        seconds: f64,
    },
    /// Connects as fast as possible; the reply is [`Counts`].
    Flood {
        /// Where to.
        to: SocketAddr,
        /// By which kind of socket.
        how: How,
        /// For how long.
        seconds: f64,
        /// By so many threads, spread over the CPUs.
        threads: usize,
    },
    /// Resolves names, and sends a datagram to each right after; the reply is [`Names`].
    Names {
        /// The first number.
        from: u64,
        /// The number after the last.
        to: u64,
        /// The name, with `{}` for the number.
        pattern: String,
        /// Who is asked.
        server: SocketAddr,
        /// By so many threads, spread over the CPUs.
        threads: usize,
    },
    /// Asks the C library; the reply is [`Found`].
    Getaddrinfo {
        /// The name.
        name: String,
        /// The port, which comes back with each address.
        port: u16,
    },
}

/// A query to a DNS server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lookup {
    /// The name, sent in this case.
    pub name: String,
    /// Who is asked.
    pub server: SocketAddr,
    /// The type of record.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// UDP or TCP.
    pub transport: Transport,
    /// Where the query comes from, if not left to the kernel.
    pub bind: Option<SocketAddr>,
    /// The size in the OPT record, if there is to be one.
    pub edns: Option<u16>,
    /// Whether a UDP socket is connected before it sends.
    pub connected: bool,
}

/// A type of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

/// How a query travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// A way to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// TCP; it waits for the answer.
    Tcp,
    /// UDP, and a datagram sent after it, unless to port 0.
    Udp,
    /// TCP, waiting by `poll(2)`.
    TcpNonblocking,
    /// TCP by `sendto(2)` with `MSG_FASTOPEN`.
    Fastopen,
    /// TCP with `TCP_FASTOPEN_CONNECT`, and a byte sent after it.
    FastopenConnect,
    /// Multipath TCP.
    Mptcp,
    /// TCP from an IPv6 socket to an IPv4 address.
    Mapped,
    /// The same from an IPv6 socket to an IPv4 address.
    UdpMapped,
    /// UDP-Lite, and a datagram sent after it.
    UdpLite,
    /// An ICMP echo socket, and an echo request sent after it.
    Ping,
    /// An echo request from a socket that is not connected.
    PingTo,
    /// A UDP datagram from a raw socket.
    Raw,
}

/// Whether to send from one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sockets {
    /// One for all.
    Same,
    /// One each.
    New,
}

/// What a DNS server answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The addresses, in order.
    pub addresses: Vec<IpAddr>,
    /// RCODE; nothing where no answer came within two seconds.
    pub code: Option<u16>,
    /// TC.
    pub truncated: bool,
    /// The name in the answer's question.
    pub question: String,
    /// The error of asking, or 0.
    pub errno: i32,
    /// Before asking.
    pub before_ns: u64,
    /// After the answer.
    pub after_ns: u64,
}

/// One attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The error, or 0.
    pub errno: i32,
    /// Before the system call.
    pub before_ns: u64,
    /// After it.
    pub after_ns: u64,
}

/// Many attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Those that succeeded.
    pub ok: u64,
    /// The others, by the name of their error, such as `EDQUOT`.
    pub failed: BTreeMap<String, u64>,
    /// Before the first.
    pub first_ns: u64,
    /// Before the last.
    pub last_ns: u64,
}

/// Datagrams on a connected socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectedSends {
    /// How it was connected. Without that nothing is sent.
    pub connect: Attempt,
    /// What became of the datagrams.
    pub sends: Counts,
}

/// Names that were resolved and connected to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Names {
    /// Names with an address.
    pub resolved: u64,
    /// What became of connecting to them.
    pub connects: Counts,
}

/// What the C library found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The addresses, in order.
    pub addresses: Vec<SocketAddr>,
    /// Why there are none.
    pub error: Option<String>,
}

impl Lookup {
    /// Asks for IPv4 by UDP, with EDNS, from a socket that is not connected.
    pub fn new(name: &str, server: SocketAddr) -> Self {
        Self {
            name: name.into(),
            server,
            kind: Kind::A,
            transport: Transport::Udp,
            bind: None,
            edns: Some(1232),
            connected: false,
        }
    }
}

impl Attempt {
    /// What the system call said.
    ///
    /// # Errors
    ///
    /// The error that it had.
    pub fn result(&self) -> Result<(), Errno> {
        result(self.errno)
    }
}

impl Counts {
    /// Counts one attempt.
    pub fn add(&mut self, attempt: Attempt) {
        match attempt.result() {
            Ok(()) => self.ok += 1,
            Err(errno) => *self.failed.entry(format!("{errno:?}")).or_default() += 1,
        }
        if self.first_ns == 0 {
            self.first_ns = attempt.before_ns;
        }
        self.last_ns = attempt.before_ns;
    }

    /// Adds those of another thread.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        if self.first_ns == 0 || (other.first_ns != 0 && other.first_ns < self.first_ns) {
            self.first_ns = other.first_ns;
        }
        self.last_ns = self.last_ns.max(other.last_ns);
        self.ok += other.ok;
        for (name, count) in other.failed {
            *self.failed.entry(name).or_default() += count;
        }
        self
    }

    /// How many failed with that error.
    pub fn failed_with(&self, errno: Errno) -> u64 {
        self.failed.get(&format!("{errno:?}")).copied().unwrap_or(0)
    }

    /// How many failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// An error number of these replies as a result.
///
/// # Errors
///
/// All but 0.
pub fn result(errno: i32) -> Result<(), Errno> {
    if errno == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) }
}
