//! Finds the SYN in a frame: Ethernet, VLAN tags, IPv4 or IPv6, TCP.
//!
//! Only what opens a connection is looked for. The order of the checks is that of their cost: most packets are no
//! SYN and leave after the flags. A SYN's lengths are checked last, as the kernel would before it answers.

mod access;
pub mod extensions;

use core::num::NonZeroU32;

use network_types::eth::EthHdr;
use network_types::ip::{IpProto, Ipv4Hdr, Ipv6Hdr};

pub use access::{Header, Packet};
use extensions::Upper;

use crate::key::Address;
use crate::verdict::Skip;

/// How many VLAN tags are looked under.
pub const MAX_TAGS: usize = 4;

/// TCP header length without options.
pub const TCP_HEADER: usize = 20;

/// A segment that opens a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syn {
    /// Who asks.
    pub source: Address,
    /// Whom.
    pub destination: Address,
    /// TCP source port.
    pub source_port: u16,
    /// TCP destination port: a rule is found by it.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Offset of the IP header in the frame.
    pub ip_offset: usize,
    /// IPv6, not IPv4.
    pub v6: bool,
    /// How many sequence numbers it takes: one, and one for each byte of data. `None` where the headers do not tell.
    pub length: Option<NonZeroU32>,
}

/// A SYN that was found, as far as it takes to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Who asks.
    pub source: Address,
    /// TCP destination port.
    pub destination_port: u16,
    /// Where the rest is.
    pub headers: Headers,
}

/// Where the headers of a SYN are in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// Offset of the IP header.
    pub ip_offset: usize,
    /// Offset of the TCP header.
    pub tcp_offset: usize,
    /// Where the IP length says that the packet ends.
    pub end: usize,
    /// The first of several fragments.
    pub fragment: bool,
    /// IPv6, not IPv4.
    pub v6: bool,
}

/// Finds the SYN in a frame and reads all of it, or says why there is none to judge.
///
/// # Errors
///
/// As [`find`].
#[inline(always)]
pub fn parse<P: Packet + ?Sized>(packet: &P) -> Result<Syn, Skip> {
    read(packet, &find(packet)?.headers).ok_or(Skip::Truncated)
}

/// Finds the SYN in a frame, or says why there is none to judge.
///
/// A SYN is a TCP segment with SYN and without ACK, RST and FIN, as `iptables --syn` has it: on SYN with FIN the
/// kernel opens nothing (`tcp_rcv_state_process`, `TCP_LISTEN`).
///
/// # Errors
///
/// The [`Skip`] with which the packet passes.
#[inline(always)]
pub fn find<P: Packet + ?Sized>(packet: &P) -> Result<Opening, Skip> {
    let ethernet: EthHdr = packet.read(0).ok_or(Skip::Truncated)?;
    let mut ether_type = u16::from_be(ethernet.ether_type);
    let mut offset = EthHdr::LEN;
    for _ in 0..MAX_TAGS {
        if !is_tag(ether_type) {
            break;
        }
        let tag: [u8; 4] = packet.read(offset).ok_or(Skip::Truncated)?;
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        offset += tag.len();
    }
    match ether_type {
        ETH_P_IP => opening(packet, ipv4(packet, offset)?),
        ETH_P_IPV6 => opening(packet, ipv6(packet, offset)?),
        _ if is_tag(ether_type) => Err(Skip::TooManyTags),
        _ => Err(Skip::NotIp),
    }
}

const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;

/// 802.1Q and 802.1ad: the two that Linux takes off.
#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8)
}

// Headers are read as words: of arrays of bytes the BPF compiler makes two instructions a byte.

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P, ip_offset: usize) -> Result<(Address, Headers), Skip> {
    let ip: [u32; Ipv4Hdr::LEN / 4] = packet.read(ip_offset).ok_or(Skip::Truncated)?;
    let [first, second, third] = [u32::from_be(ip[0]), u32::from_be(ip[1]), u32::from_be(ip[2])];
    let header_length = (first >> 24 & 0x0f) as usize * 4;
    if first >> 28 != 4 || header_length < Ipv4Hdr::LEN {
        return Err(Skip::BadIpHeader);
    }
    if third >> 16 & 0xff != IpProto::Tcp as u32 {
        return Err(Skip::NotTcp);
    }
    if second & 0x1fff != 0 {
        return Err(Skip::LaterFragment);
    }
    let headers = Headers {
        ip_offset,
        tcp_offset: ip_offset + header_length,
        end: ip_offset + (first & 0xffff) as usize,
        fragment: second & 0x2000 != 0,
        v6: false,
    };
    Ok((source_v4(&ip), headers))
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P, ip_offset: usize) -> Result<(Address, Headers), Skip> {
    let ip: [u32; Ipv6Hdr::LEN / 4] = packet.read(ip_offset).ok_or(Skip::Truncated)?;
    let [first, second] = [u32::from_be(ip[0]), u32::from_be(ip[1])];
    if first >> 28 != 6 {
        return Err(Skip::BadIpHeader);
    }
    let (payload, next) = ((second >> 16) as usize, (second >> 8) as u8);
    // Length 0 before hop-by-hop options announces a jumbogram; the kernel then takes what the frame holds
    // (ipv6_rcv, ip6_rcv_core).
    let end = if payload == 0 && next == IpProto::HopOpt as u8 {
        packet.length()
    } else {
        ip_offset + Ipv6Hdr::LEN + payload
    };
    let behind = ip_offset + Ipv6Hdr::LEN;
    let upper = if next == IpProto::Tcp as u8 {
        Upper { protocol: next, offset: behind, fragment: false }
    } else {
        packet.skip_extensions(next, behind)?
    };
    if upper.protocol != IpProto::Tcp as u8 {
        return Err(Skip::NotTcp);
    }
    let headers = Headers { ip_offset, tcp_offset: upper.offset, end, fragment: upper.fragment, v6: true };
    Ok((source_v6(&ip), headers))
}

#[inline(always)]
const fn source_v4(ip: &[u32; Ipv4Hdr::LEN / 4]) -> Address {
    Address::from_v4(ip[3].to_ne_bytes())
}

#[inline(always)]
const fn source_v6(ip: &[u32; Ipv6Hdr::LEN / 4]) -> Address {
    v6([ip[2], ip[3], ip[4], ip[5]])
}

/// From four words in network order.
#[inline(always)]
const fn v6(w: [u32; 4]) -> Address {
    Address::from_words([u32::from_be(w[0]), u32::from_be(w[1]), u32::from_be(w[2]), u32::from_be(w[3])])
}

/// A TCP header as far as its flags: what a first fragment may end after.
type Start = [u16; 7];
/// Where the destination port is in it.
const DESTINATION: usize = 1;
/// Where the flags are, behind the length of the header.
const FLAGS: usize = 6;

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const ACK: u16 = 0x10;

#[inline(always)]
fn opening<P: Packet + ?Sized>(packet: &P, (source, headers): (Address, Headers)) -> Result<Opening, Skip> {
    if headers.fragment && kept(&headers) < size_of::<Start>() {
        return hidden_flags(packet, source, headers);
    }
    let start: Start = packet.read(headers.tcp_offset).ok_or(Skip::Truncated)?;
    if u16::from_be(start[FLAGS]) & (SYN | ACK | RST | FIN) != SYN {
        return Err(Skip::NotSyn);
    }
    if headers.end > packet.length() {
        return Err(Skip::BadIpLength);
    }
    if headers.end < headers.tcp_offset + TCP_HEADER && !headers.fragment {
        return Err(Skip::BadIpLength);
    }
    Ok(Opening { source, destination_port: u16::from_be(start[DESTINATION]), headers })
}

/// How much of a first fragment the kernel takes: whole units of eight bytes. What is over, it cuts off
/// (`ip_frag_queue`), and lets the next fragment say it anew.
#[inline(always)]
const fn kept(headers: &Headers) -> usize {
    headers.end.saturating_sub(headers.tcp_offset) & !7
}

/// A first fragment so small that its flags come in the next one (RFC 1858). Reassembled it may be a SYN, so it is
/// taken for one; nobody who is honest sends it.
#[inline(always)]
fn hidden_flags<P: Packet + ?Sized>(packet: &P, source: Address, headers: Headers) -> Result<Opening, Skip> {
    if kept(&headers) < 8 {
        return Err(Skip::BadIpLength);
    }
    let start: [u32; 2] = packet.read(headers.tcp_offset).ok_or(Skip::Truncated)?;
    Ok(Opening { source, destination_port: u32::from_be(start[0]) as u16, headers })
}

/// Reads all of a SYN that [`find`] has found; `None` where the frame is not that one.
#[inline(always)]
pub fn read<P: Packet + ?Sized>(packet: &P, headers: &Headers) -> Option<Syn> {
    let start: [u32; 2] = packet.read(headers.tcp_offset)?;
    let length = if headers.fragment { 0 } else { length(packet, headers)? };
    let (source, destination) = if headers.v6 {
        let ip: [u32; Ipv6Hdr::LEN / 4] = packet.read(headers.ip_offset)?;
        (source_v6(&ip), v6([ip[6], ip[7], ip[8], ip[9]]))
    } else {
        let ip: [u32; Ipv4Hdr::LEN / 4] = packet.read(headers.ip_offset)?;
        (source_v4(&ip), Address::from_v4(ip[4].to_ne_bytes()))
    };
    let ports = u32::from_be(start[0]);
    Some(Syn {
        source,
        destination,
        source_port: (ports >> 16) as u16,
        destination_port: ports as u16,
        sequence: u32::from_be(start[1]),
        ip_offset: headers.ip_offset,
        v6: headers.v6,
        length: NonZeroU32::new(length as u32),
    })
}

/// How many sequence numbers it takes; 0 where its TCP header does not tell.
#[inline(always)]
fn length<P: Packet + ?Sized>(packet: &P, headers: &Headers) -> Option<usize> {
    let start: Start = packet.read(headers.tcp_offset)?;
    let header = usize::from(u16::from_be(start[FLAGS]) >> 12) * 4;
    let data = headers.tcp_offset + header;
    Some(if header < TCP_HEADER || data > headers.end { 0 } else { headers.end - data + 1 })
}
