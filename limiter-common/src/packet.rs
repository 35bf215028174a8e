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

/// What lies behind the IP headers.
struct Segment {
    source: Address,
    destination: Address,
    ip_offset: usize,
    tcp_offset: usize,
    /// Where the IP length says that the packet ends.
    end: usize,
    /// The first of several fragments.
    fragment: bool,
    v6: bool,
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
pub fn parse<P: Packet + ?Sized>(packet: &P) -> Result<Syn, Skip> {
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
        ETH_P_IP => syn(packet, &ipv4(packet, offset)?),
        ETH_P_IPV6 => syn(packet, &ipv6(packet, offset)?),
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

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P, ip_offset: usize) -> Result<Segment, Skip> {
    let ip: Ipv4Hdr = packet.read(ip_offset).ok_or(Skip::Truncated)?;
    let header_length = usize::from(ip.vihl & 0x0f) * 4;
    if ip.vihl >> 4 != 4 || header_length < Ipv4Hdr::LEN {
        return Err(Skip::BadIpHeader);
    }
    if ip.proto != IpProto::Tcp as u8 {
        return Err(Skip::NotTcp);
    }
    let fragment = u16::from_be_bytes(ip.frags);
    if fragment & 0x1fff != 0 {
        return Err(Skip::LaterFragment);
    }
    Ok(Segment {
        source: Address::from_v4(ip.src_addr),
        destination: Address::from_v4(ip.dst_addr),
        ip_offset,
        tcp_offset: ip_offset + header_length,
        end: ip_offset + usize::from(u16::from_be_bytes(ip.tot_len)),
        fragment: fragment & 0x2000 != 0,
        v6: false,
    })
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P, ip_offset: usize) -> Result<Segment, Skip> {
    let ip: Ipv6Hdr = packet.read(ip_offset).ok_or(Skip::Truncated)?;
    if ip.vcf[0] >> 4 != 6 {
        return Err(Skip::BadIpHeader);
    }
    let payload = usize::from(u16::from_be_bytes(ip.payload_len));
    // Length 0 before hop-by-hop options announces a jumbogram; the kernel then takes what the frame holds
    // (ipv6_rcv, ip6_rcv_core).
    let end = if payload == 0 && ip.next_hdr == IpProto::HopOpt as u8 {
        packet.length()
    } else {
        ip_offset + Ipv6Hdr::LEN + payload
    };
    let behind = ip_offset + Ipv6Hdr::LEN;
    let upper = if ip.next_hdr == IpProto::Tcp as u8 {
        Upper { protocol: ip.next_hdr, offset: behind, fragment: false }
    } else {
        packet.skip_extensions(ip.next_hdr, behind)?
    };
    if upper.protocol != IpProto::Tcp as u8 {
        return Err(Skip::NotTcp);
    }
    Ok(Segment {
        source: Address::from_v6(ip.src_addr),
        destination: Address::from_v6(ip.dst_addr),
        ip_offset,
        tcp_offset: upper.offset,
        end,
        fragment: upper.fragment,
        v6: true,
    })
}

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const ACK: u16 = 0x10;

#[inline(always)]
fn syn<P: Packet + ?Sized>(packet: &P, segment: &Segment) -> Result<Syn, Skip> {
    // As far as the flags: what a first fragment may end after.
    const START: usize = 14;

    if segment.fragment && kept(segment) < START {
        return hidden_flags(packet, segment);
    }
    let start: [u8; START] = packet.read(segment.tcp_offset).ok_or(Skip::Truncated)?;
    let flags = u16::from_be_bytes([start[12], start[13]]);
    if flags & (SYN | ACK | RST | FIN) != SYN {
        return Err(Skip::NotSyn);
    }
    if segment.end > packet.length() {
        return Err(Skip::BadIpLength);
    }
    if segment.end < segment.tcp_offset + TCP_HEADER && !segment.fragment {
        return Err(Skip::BadIpLength);
    }
    let header = usize::from(flags >> 12) * 4;
    let data = segment.tcp_offset + header;
    let length = if header < TCP_HEADER || data > segment.end || segment.fragment {
        0
    } else {
        segment.end - data + 1
    };
    Ok(opening(
        segment,
        &[start[0], start[1], start[2], start[3], start[4], start[5], start[6], start[7]],
        length,
    ))
}

/// How much of a first fragment the kernel takes: whole units of eight bytes. What is over, it cuts off
/// (`ip_frag_queue`), and lets the next fragment say it anew.
#[inline(always)]
const fn kept(segment: &Segment) -> usize {
    segment.end.saturating_sub(segment.tcp_offset) & !7
}

/// A first fragment so small that its flags come in the next one (RFC 1858). Reassembled it may be a SYN, so it is
/// taken for one; nobody who is honest sends it.
#[inline(always)]
fn hidden_flags<P: Packet + ?Sized>(packet: &P, segment: &Segment) -> Result<Syn, Skip> {
    if kept(segment) < 8 {
        return Err(Skip::BadIpLength);
    }
    let start: [u8; 8] = packet.read(segment.tcp_offset).ok_or(Skip::Truncated)?;
    Ok(opening(segment, &start, 0))
}

#[inline(always)]
fn opening(segment: &Segment, start: &[u8; 8], length: usize) -> Syn {
    Syn {
        source: segment.source,
        destination: segment.destination,
        source_port: u16::from_be_bytes([start[0], start[1]]),
        destination_port: u16::from_be_bytes([start[2], start[3]]),
        sequence: u32::from_be_bytes([start[4], start[5], start[6], start[7]]),
        ip_offset: segment.ip_offset,
        v6: segment.v6,
        length: NonZeroU32::new(length as u32),
    }
}
