//! A wire between two hosts: a veth pair that behaves like two NICs.

use std::os::fd::AsRawFd;
use std::process;

use socket2::{Domain, Socket, Type};

use super::{Host, XdpAction};
use crate::packet::Mac;
use crate::sys;

/// Commands of linux/ethtool.h.
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_SGRO: u32 = 0x2c;

/// What a link is like.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// Queues of each end, in each direction.
    pub queues: u32,
    /// Whether what the second host sends back by `XDP_TX` arrives: for this the first host's end gets a program that
    /// passes everything. GRO alone makes a ring to put such frames into, but nobody is told to look into it
    /// (`veth_xdp_flush` in the kernel's drivers/net/veth.c).
    pub xdp_tx: bool,
    /// Whether both ends have GRO on.
    pub gro: bool,
    /// Whether the ends leave TCP and UDP checksums to their NIC. There is none: the other kernel knows and does not
    /// mind, but a frame that is captured has a wrong checksum.
    pub tx_checksums: bool,
    /// The MAC of the first host's end, and that of the second's.
    pub macs: [Mac; 2],
}

impl Default for LinkOptions {
    /// A client, then a server, as [`Frame`](crate::packet::Frame) has it; two queues; all else is on.
    fn default() -> Self {
        Self { queues: 2, xdp_tx: true, gro: true, tx_checksums: true, macs: [Mac::CLIENT, Mac::SERVER] }
    }
}

/// Connects two hosts, each by an interface of that name. Both ends are up, without addresses.
#[track_caller]
pub fn link(a: &Host, a_name: &str, b: &Host, b_name: &str, options: LinkOptions) {
    let queues = format!("numtxqueues {0} numrxqueues {0}", options.queues);
    let namespace = format!("/proc/{}/fd/{}", process::id(), b.network.as_raw_fd());
    let [a_mac, b_mac] = options.macs;
    a.ip(&format!(
        "link add name {a_name} address {a_mac} {queues} type veth \
         peer name {b_name} address {b_mac} {queues} netns {namespace}"
    ));
    for (host, name) in [(a, a_name), (b, b_name)] {
        let socket = host.run(|| Socket::new(Domain::UNIX, Type::DGRAM, None).expect("a socket to spare"));
        for (command, on) in [(ETHTOOL_SGRO, options.gro), (ETHTOOL_STXCSUM, options.tx_checksums)] {
            sys::ethtool(&socket, name, command, on.into())
                .unwrap_or_else(|error| panic!("{name} takes no ethtool command {command:#x}: {error}"));
        }
        // With a queue in front of it, a full veth says so (kernel 6.16) where it would else drop the frame.
        let queue = if options.queues > 1 { "mq" } else { "pfifo" };
        host.tool("tc", &format!("qdisc replace dev {name} root {queue}"));
        host.ip(&format!("link set {name} up"));
    }
    if options.xdp_tx {
        let pass = a.attach_xdp(a_name, XdpAction::Pass);
        a.programs.lock().expect("no thread panics with it").push(pass);
    }
}
