//! The RST that answers a refused SYN (RFC 9293, section 3.10.7.1): sequence 0, and an acknowledgement of the SYN
//! and its data, so that the client's kernel believes it.
//!
//! Replies are built as 32-bit words, and given as such in network byte order.

use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

use crate::packet::{Syn, TCP_HEADER};

/// Words of an IPv4 reply, from the IP header on.
pub const V4_WORDS: usize = (Ipv4Hdr::LEN + TCP_HEADER) / 4;
/// Words of an IPv6 reply, from the IP header on.
pub const V6_WORDS: usize = (Ipv6Hdr::LEN + TCP_HEADER) / 4;

/// Destination and source address of a frame, as they lie there.
pub type Link = [u16; 6];

const TCP: u32 = 6;
const TTL: u32 = 64;
const TCP_LENGTH: u32 = TCP_HEADER as u32;

/// What acknowledges `syn`, or `None` where it must be met with silence: it was sent to or from more than one, or
/// from nowhere, or to its own sender, or it is no whole segment.
#[inline(always)]
pub const fn acknowledgement(link: &Link, syn: &Syn) -> Option<u32> {
    if is_group(link[0]) || is_group(link[3]) || !is_between_hosts(syn) {
        return None;
    }
    match syn.length {
        Some(length) => Some(syn.sequence.wrapping_add(length.get())),
        None => None,
    }
}

/// The frame's addresses, exchanged.
#[inline(always)]
pub const fn swapped(l: &Link) -> Link {
    [l[3], l[4], l[5], l[0], l[1], l[2]]
}

/// The IPv4 packet.
#[inline(always)]
pub const fn ipv4(syn: &Syn, acknowledgement: u32) -> [u32; V4_WORDS] {
    let (from, to) = (syn.destination.words()[3], syn.source.words()[3]);
    // Version, header and total length; don't fragment; hop limit and protocol.
    let (first, second, third) = (0x4500_0000 | (V4_WORDS as u32 * 4), 0x4000, TTL << 24 | TCP << 16);
    let header = sum(first) + sum(second) + sum(third) + sum(from) + sum(to);
    let tcp = tcp(syn, acknowledgement, sum(from) + sum(to));
    [
        first.to_be(),
        second.to_be(),
        (third | checksum(header)).to_be(),
        from.to_be(),
        to.to_be(),
        tcp[0],
        tcp[1],
        tcp[2],
        tcp[3],
        tcp[4],
    ]
}

/// The IPv6 packet.
#[inline(always)]
pub const fn ipv6(syn: &Syn, acknowledgement: u32) -> [u32; V6_WORDS] {
    let (from, to) = (syn.destination.words(), syn.source.words());
    let addresses = sum(from[0]) + sum(from[1]) + sum(from[2]) + sum(from[3]);
    let addresses = addresses + sum(to[0]) + sum(to[1]) + sum(to[2]) + sum(to[3]);
    let tcp = tcp(syn, acknowledgement, addresses);
    [
        0x6000_0000u32.to_be(),
        (TCP_LENGTH << 16 | TCP << 8 | TTL).to_be(),
        from[0].to_be(),
        from[1].to_be(),
        from[2].to_be(),
        from[3].to_be(),
        to[0].to_be(),
        to[1].to_be(),
        to[2].to_be(),
        to[3].to_be(),
        tcp[0],
        tcp[1],
        tcp[2],
        tcp[3],
        tcp[4],
    ]
}

/// The TCP header: no sequence number, no window, no options. `addresses` is the sum of both.
#[inline(always)]
const fn tcp(syn: &Syn, acknowledgement: u32, addresses: u64) -> [u32; TCP_HEADER / 4] {
    let ports = (syn.destination_port as u32) << 16 | syn.source_port as u32;
    // Five words of header; RST and ACK.
    let flags = 5 << 28 | 0x14 << 16;
    let all = addresses + sum(TCP) + sum(TCP_LENGTH) + sum(ports) + sum(acknowledgement) + sum(flags);
    [ports.to_be(), 0, acknowledgement.to_be(), flags.to_be(), (checksum(all) << 16).to_be()]
}

/// The lowest bit of a MAC address's first byte: multicast or broadcast.
#[inline(always)]
const fn is_group(first: u16) -> bool {
    first.to_ne_bytes()[0] & 1 != 0
}

/// Whether source and destination are each one host, and two different ones.
#[inline(always)]
const fn is_between_hosts(syn: &Syn) -> bool {
    let (source, destination) = (syn.source.words(), syn.destination.words());
    let same = source[0] == destination[0]
        && source[1] == destination[1]
        && source[2] == destination[2]
        && source[3] == destination[3];
    if same {
        return false;
    }
    if syn.v6 {
        let unspecified_or_loopback = source[0] | source[1] | source[2] == 0 && source[3] <= 1;
        source[0] >> 24 != 0xff && destination[0] >> 24 != 0xff && !unspecified_or_loopback
    } else {
        // 0/8 and 127/8 never cross a wire; from 224 on it is multicast, reserved, or broadcast.
        let first = source[3] >> 24;
        first != 0 && first != 127 && first < 224 && destination[3] >> 24 < 224
    }
}

/// A word's part of a checksum (RFC 1071). Words may be summed whole: 2^16 is 1, modulo the 2^16 - 1 that it counts in.
#[inline(always)]
const fn sum(word: u32) -> u64 {
    word as u64
}

#[inline(always)]
const fn checksum(sum: u64) -> u32 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !sum as u32 & 0xffff
}
