//! The kernel's list of TCP sockets in this network namespace (`sock_diag(7)`).

use std::collections::HashSet;
use std::net::IpAddr;

use anyhow::{Context as _, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags, Timer,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use nix::libc::ENOENT;

/// A message of the kernel is shorter than this (`SKB_WITH_OVERHEAD` in `netlink_dump`).
const BUFFER: usize = 64 << 10;

/// TCP sockets that listen, and those that are connected.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Ports on which something listens.
    pub listening: HashSet<u16>,
    /// The port here and the address there of each connection. What is IPv4-mapped is IPv4.
    pub connections: Vec<(u16, IpAddr)>,
}

impl Sockets {
    /// Asks for them.
    ///
    /// Connections are those that the kernel holds a whole socket for: not those in `TIME_WAIT`, nor orphans in `FIN_WAIT2`
    /// that it keeps in the same small form, nor those that are not established yet.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn read() -> anyhow::Result<Self> {
        let mut sockets = Self::default();
        sockets.ask(AF_INET, SocketId::new_v4()).context("cannot list the TCP sockets")?;
        sockets.ask(AF_INET6, SocketId::new_v6()).context("cannot list the TCP sockets over IPv6")?;
        Ok(sockets)
    }

    fn ask(&mut self, family: u8, socket_id: SocketId) -> anyhow::Result<()> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let states = StateFlags::LISTEN
            | StateFlags::ESTABLISHED
            | StateFlags::FIN_WAIT1
            | StateFlags::FIN_WAIT2
            | StateFlags::CLOSE_WAIT
            | StateFlags::LAST_ACK
            | StateFlags::CLOSING;
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states,
            socket_id,
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        socket.send(&bytes, 0)?;
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            buffer.clear();
            socket.recv(&mut buffer, 0)?;
            if self.take_all(&buffer)? {
                return Ok(());
            }
        }
    }

    /// Takes the messages of one datagram; says whether they were the last.
    fn take_all(&mut self, mut bytes: &[u8]) -> anyhow::Result<bool> {
        while !bytes.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => {
                    self.take(&socket.header);
                }
                // A kernel without this family.
                NetlinkPayload::Error(error) if error.raw_code() == -ENOENT => return Ok(true),
                NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                other => bail!("the kernel's list has something else in it: {other:?}"),
            }
            // Messages begin at multiples of four.
            let length = (message.header.length as usize).next_multiple_of(4);
            bytes = bytes.get(length..).unwrap_or_default();
        }
        Ok(false)
    }

    fn take(&mut self, socket: &InetResponseHeader) {
        let id = &socket.socket_id;
        if socket.state == TCP_LISTEN {
            self.listening.insert(id.source_port);
        } else if socket.timer != Some(Timer::TimeWait) {
            self.connections.push((id.source_port, id.destination_address.to_canonical()));
        }
    }
}
