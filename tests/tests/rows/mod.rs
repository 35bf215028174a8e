//! The rows of the packet tables.

mod ip;
mod link;
mod tcp;

use limiter_common::verdict::Skip;
use limiter_tests::packet::Frame;

pub use ip::{ipv4, ipv4_fragments, ipv6};
pub use link::link;
pub use tcp::{replies, syns, tcp_flags};

/// What is to become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is a SYN; refused, it is answered.
    Reset,
    /// It is a SYN; refused, it is dropped, because no reply may be sent.
    Silence,
    /// It is none of the limiter's business, for this reason.
    Passed(Skip),
}

/// A packet, for any destination port.
pub struct Row {
    pub name: String,
    pub expected: Expected,
    build: Box<dyn Fn(u16) -> Vec<u8>>,
}

impl Row {
    pub fn frame(&self, port: u16) -> Vec<u8> {
        (self.build)(port)
    }
}

/// Every row but those of the TCP flags, which differ in two bytes only.
pub fn all_but_flags() -> Vec<Row> {
    [link(), ipv4(), ipv4_fragments(), ipv6(), syns(), replies()].into_iter().flatten().collect()
}

fn row(name: impl Into<String>, expected: Expected, build: impl Fn(u16) -> Frame + 'static) -> Row {
    bytes(name, expected, move |port| build(port).build())
}

fn bytes(name: impl Into<String>, expected: Expected, build: impl Fn(u16) -> Vec<u8> + 'static) -> Row {
    Row { name: name.into(), expected, build: Box::new(build) }
}

const CLIENT_V4: &str = "198.51.100.7";
const SERVER_V4: &str = "192.0.2.1";
const CLIENT_V6: &str = "2001:db8:1::7";
const SERVER_V6: &str = "2001:db8:2::1";

/// A frame of IPv4, without a protocol yet.
fn v4() -> Frame {
    Frame::ipv4(CLIENT_V4, SERVER_V4)
}

/// A frame of IPv6, without a protocol yet.
fn v6() -> Frame {
    Frame::ipv6(CLIENT_V6, SERVER_V6)
}

fn syn4(port: u16) -> Frame {
    v4().tcp(40_000, port).syn().seq(0xdead_beef)
}

fn syn6(port: u16) -> Frame {
    v6().tcp(40_000, port).syn().seq(0xffff_ffff)
}
