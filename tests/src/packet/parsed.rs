//! A look at frames that come back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Mac;
use super::checksum::sum;

/// A TCP segment and how it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Station it came from.
    pub source_mac: Mac,
    /// Station it goes to.
    pub destination_mac: Mac,
    /// VLAN tags, the outermost first: ethertype, and priority and VLAN.
    pub tags: Vec<(u16, u16)>,
    /// Address it came from.
    pub source: IpAddr,
    /// Address it goes to.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Port it came from.
    pub source_port: u16,
    /// Port it goes to.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// All nine [`flags`](super::flags).
    pub flags: u16,
    /// Window, not scaled.
    pub window: u16,
    /// Bytes of options.
    pub options: Vec<u8>,
    /// Data.
    pub payload: Vec<u8>,
    /// Bytes behind the IP packet.
    pub padding: usize,
}

impl Parsed {
    /// Nothing where the frame holds no whole TCP header.
    pub fn tcp(frame: &[u8]) -> Option<Self> {
        let Layers { tags, ip, segment, padding } = layers(frame)?;
        let words = (segment.get(12)? >> 4) as usize;
        let options = segment.get(20..words * 4)?.to_vec();
        Some(Self {
            source_mac: Mac(bytes(frame, 6)?),
            destination_mac: Mac(bytes(frame, 0)?),
            tags,
            source: ip.source,
            destination: ip.destination,
            ttl: ip.ttl,
            source_port: u16_at(segment, 0)?,
            destination_port: u16_at(segment, 2)?,
            seq: u32::from_be_bytes(bytes(segment, 4)?),
            ack: u32::from_be_bytes(bytes(segment, 8)?),
            flags: u16_at(segment, 12)? & 0x1ff,
            window: u16_at(segment, 14)?,
            options,
            payload: segment[words * 4..].to_vec(),
            padding,
        })
    }
}

/// Whether a frame holds a TCP segment whose checksum is right, and so is that of its IPv4 header if it has one.
pub fn checksums_ok(frame: &[u8]) -> bool {
    layers(frame).is_some_and(|Layers { ip, segment, .. }| {
        let length = (segment.len() as u32).to_be_bytes();
        let protocol = [0, TCP];
        let covered = [&ip.addresses, &length[..], &protocol, segment].concat();
        ip.header_sum == 0xffff && sum(&covered) == 0xffff
    })
}

const TCP: u8 = 6;

struct Layers<'a> {
    tags: Vec<(u16, u16)>,
    ip: Ip,
    segment: &'a [u8],
    padding: usize,
}

struct Ip {
    source: IpAddr,
    destination: IpAddr,
    addresses: Vec<u8>,
    ttl: u8,
    /// 0xffff if the header is as it was sent.
    header_sum: u16,
}

fn layers(frame: &[u8]) -> Option<Layers<'_>> {
    let mut tags = Vec::new();
    let mut at = 12;
    let mut ethertype = u16_at(frame, at)?;
    while matches!(ethertype, 0x8100 | 0x88a8) {
        tags.push((ethertype, u16_at(frame, at + 2)?));
        at += 4;
        ethertype = u16_at(frame, at)?;
    }
    let packet = frame.get(at + 2..)?;
    let (ip, length, segment) = match ethertype {
        0x0800 => ipv4(packet)?,
        0x86dd => ipv6(packet)?,
        _ => return None,
    };
    Some(Layers { tags, ip, segment, padding: packet.len() - length })
}

/// The header, the length of the packet, the TCP segment in it.
fn ipv4(packet: &[u8]) -> Option<(Ip, usize, &[u8])> {
    let header = packet.get(..usize::from(packet.first()? & 15) * 4)?;
    let length = u16_at(header, 2)?.into();
    let later_fragment = u16_at(header, 6)? & 0x1fff != 0;
    if header.len() < 20 || header[0] >> 4 != 4 || header[9] != TCP || later_fragment {
        return None;
    }
    let ip = Ip {
        source: Ipv4Addr::from(bytes::<4>(header, 12)?).into(),
        destination: Ipv4Addr::from(bytes::<4>(header, 16)?).into(),
        addresses: header[12..20].to_vec(),
        ttl: header[8],
        header_sum: sum(header),
    };
    Some((ip, length, packet.get(header.len()..length)?))
}

/// The same of IPv6, under any number of extension headers.
fn ipv6(packet: &[u8]) -> Option<(Ip, usize, &[u8])> {
    let header = packet.get(..40).filter(|header| header[0] >> 4 == 6)?;
    // No length, and hop-by-hop options: a jumbogram says its length there, and where it does not, Linux takes the frame's.
    let length = match u16_at(header, 4)? {
        0 if header[6] == 0 => packet.len(),
        payload => 40 + usize::from(payload),
    };
    let mut rest = packet.get(40..length)?;
    let mut next = header[6];
    while next != TCP {
        let extension_length = match next {
            0 | 43 | 60 | 135 => (usize::from(*rest.get(1)?) + 1) * 8,
            51 => (usize::from(*rest.get(1)?) + 2) * 4,
            44 if u16_at(rest, 2)? >> 3 == 0 => 8,
            _ => return None,
        };
        next = *rest.first()?;
        rest = rest.get(extension_length..)?;
    }
    let ip = Ip {
        source: Ipv6Addr::from(bytes::<16>(header, 8)?).into(),
        destination: Ipv6Addr::from(bytes::<16>(header, 24)?).into(),
        addresses: header[8..40].to_vec(),
        ttl: header[7],
        header_sum: 0xffff, // it has none
    };
    Some((ip, length, rest))
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at + N)?.try_into().ok()
}

fn u16_at(from: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes(from, at)?))
}
