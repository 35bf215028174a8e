//! What the bench says to its process in the cgroup, one line of JSON each, and what comes back.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// So many addresses from one on, which are gone through in turn; where the last job stopped, the next one begins.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Addresses {
    /// The first.
    pub first: Ipv4Addr,
    /// How many.
    pub count: u32,
}

/// One thing to do, so many times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Job {
    /// Connects one UDP socket again and again; with a Redis server, asks that before each.
    UdpConnect(Option<PathBuf>),
    /// Connects one to port 0, as `getaddrinfo()` does to learn from which address it would send.
    AskRoute,
    /// Sends datagrams from one UDP socket that is not connected.
    UdpSend,
    /// Connects a new TCP socket each time, and resets the connection after it was timed.
    TcpConnect,
    /// The same, and asks a Redis server before each, which is timed as well.
    TcpConnectAsking(PathBuf),
    /// Python only: asks a Flask application whose view connects; with a place to count in, through flask-limiter.
    View(Option<String>),
    /// Asks the DNS server there, from a new socket each time, and waits for the answer.
    LookUp,
    /// Sends so many KiB to a TCP server, and waits until that has read them.
    Bulk,
}

/// A job with its destinations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// What.
    pub job: Job,
    /// Where to.
    pub to: Addresses,
    /// To which port.
    pub port: u16,
    /// How often.
    pub times: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Done {
    /// Nanoseconds each: the mean of loops, the median of what is timed one by one.
    pub ns: f64,
    /// Nanoseconds of the one that is slower than 99 % of what is timed one by one.
    #[serde(default)]
    pub p99: f64,
    /// How many were done a second, with all that belongs to one.
    #[serde(default)]
    pub per_second: f64,
    /// How many succeeded.
    pub ok: u64,
    /// How many were refused with `EDQUOT`, the only error that is no end of the bench.
    pub refused: u64,
}

impl Addresses {
    /// One.
    pub const fn one(address: Ipv4Addr) -> Self {
        Self { first: address, count: 1 }
    }

    /// The one that the attempt with this number goes to.
    pub fn get(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() + number % self.count)
    }

    /// The same with a port.
    pub fn socket(self, number: u32, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.get(number), port)
    }
}
