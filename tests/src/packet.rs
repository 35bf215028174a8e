//! Frames, built byte by byte.
//!
//! A builder fills in what is right: lengths, checksums, protocol numbers. Whatever a test wants to be wrong it says,
//! and nothing else changes with it. This code shares no line with the product's, against which it is held.
//!
//! ```
//! use limiter_tests::packet::Frame;
//!
//! let syn = Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, 80).syn().tag(0x8100, 7).build();
//! assert_eq!(syn.len(), 14 + 4 + 20 + 20);
//! ```

mod checksum;
mod extension;
mod ip;
mod parsed;
mod transport;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

pub use extension::Extension;
pub use parsed::{Parsed, checksums_ok};
pub use transport::flags;

use ip::{Ip, V4, V6};
use transport::{Tcp, Transport};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Where frames come from unless said otherwise; the first end of a link.
    pub const CLIENT: Self = Self([2, 0, 0, 0, 0, 1]);
    /// Where they go to; the second end of a link.
    pub const SERVER: Self = Self([2, 0, 0, 0, 0, 2]);
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A frame to be. Methods that do not suit it (an IPv6 extension for IPv4, a flag without TCP) panic.
#[derive(Debug, Clone)]
#[must_use]
pub struct Frame {
    source: Mac,
    destination: Mac,
    tags: Vec<(u16, u16)>,
    ethertype: Option<u16>,
    ip: Ip,
    transport: Transport,
    payload: Vec<u8>,
    pad_to: usize,
    truncate: usize,
}

impl Frame {
    /// A frame of IPv4, with no protocol in it yet. Addresses are parsed.
    #[track_caller]
    pub fn ipv4(source: &str, destination: &str) -> Self {
        let [source, destination] = [source, destination].map(|address| {
            let parsed: Result<Ipv4Addr, _> = address.parse();
            parsed.unwrap_or_else(|_| panic!("{address} is no IPv4 address"))
        });
        Self::new(Ip::V4(V4::new(source, destination)))
    }

    /// The same of IPv6.
    #[track_caller]
    pub fn ipv6(source: &str, destination: &str) -> Self {
        let [source, destination] = [source, destination].map(|address| {
            let parsed: Result<Ipv6Addr, _> = address.parse();
            parsed.unwrap_or_else(|_| panic!("{address} is no IPv6 address"))
        });
        Self::new(Ip::V6(V6::new(source, destination)))
    }

    /// A frame of neither, such as ARP: an ethertype and what follows it.
    pub fn ethernet(ethertype: u16, payload: &[u8]) -> Self {
        Self::new(Ip::None).ethertype(ethertype).payload(payload)
    }

    fn new(ip: Ip) -> Self {
        Self {
            source: Mac::CLIENT,
            destination: Mac::SERVER,
            tags: Vec::new(),
            ethertype: None,
            ip,
            transport: Transport::None,
            payload: Vec::new(),
            pad_to: 0,
            truncate: usize::MAX,
        }
    }

    /// From and to other stations than [`Mac::CLIENT`] and [`Mac::SERVER`].
    pub fn macs(self, source: Mac, destination: Mac) -> Self {
        Self { source, destination, ..self }
    }

    /// Adds a VLAN tag inside those that are there: its ethertype (0x8100, 0x88a8), and priority and VLAN.
    pub fn tag(mut self, ethertype: u16, control: u16) -> Self {
        self.tags.push((ethertype, control));
        self
    }

    /// Says that something else follows than what does.
    pub fn ethertype(self, ethertype: u16) -> Self {
        Self { ethertype: Some(ethertype), ..self }
    }

    /// TCP, without flags.
    pub fn tcp(self, source: u16, destination: u16) -> Self {
        Self { transport: Transport::Tcp(Tcp::new(source, destination)), ..self }
    }

    /// UDP.
    pub fn udp(self, source: u16, destination: u16) -> Self {
        Self { transport: Transport::Udp { source, destination, checksum_error: 0 }, ..self }
    }

    /// Any protocol: the payload follows the IP header as it is.
    pub fn protocol(self, number: u8) -> Self {
        Self { transport: Transport::Other(number), ..self }
    }

    /// What follows the last header.
    pub fn payload(self, bytes: &[u8]) -> Self {
        Self { payload: bytes.to_vec(), ..self }
    }

    /// Appends zeros up to this length, which no header tells of: Ethernet wants 60 bytes.
    pub fn pad_to(self, length: usize) -> Self {
        Self { pad_to: length, ..self }
    }

    /// Keeps the first bytes only, whatever the headers tell.
    pub fn truncate(self, length: usize) -> Self {
        Self { truncate: length, ..self }
    }

    /// The bytes, from the destination MAC on, without the frame check sequence.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut frame = [self.destination.0, self.source.0].concat();
        for (ethertype, control) in &self.tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(self.ethertype.unwrap_or(self.ip.ethertype()).to_be_bytes());
        let segment =
            self.transport.encode(&self.payload, |length| self.ip.pseudo_header(&self.transport, length));
        frame.extend(self.ip.encode(&self.transport, &segment));
        frame.resize(frame.len().max(self.pad_to), 0);
        frame.truncate(self.truncate);
        frame
    }
}
