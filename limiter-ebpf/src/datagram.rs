//! Packets that sockets send and receive: where their payload is, and who is at the other end.

#![expect(unsafe_code, reason = "reads words one by one")]

use aya_ebpf::programs::SkBuffContext;
use limiter_common::dns::Unread;
use limiter_common::key::Address;
use limiter_common::outbound::{Kind, Settings};

use crate::boundary::outbound::{self as boundary, Judgement};
use crate::tables::outbound as tables;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// IPv6 extension headers: hop-by-hop, routing, fragment, destination.
const EXTENSIONS: [u8; 4] = [0, 43, 44, 60];
const DNS: u16 = 53;
/// How many DNS messages of one TCP segment are read.
const MESSAGES: u32 = 4;

/// The other end, and where the payload lies.
struct Datagram {
    remote: Address,
    remote_port: u16,
    is_tcp: bool,
    offset: u32,
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Sent,
    Received,
}

/// Says whether a packet may be sent.
#[inline(always)]
pub fn sent(ctx: &SkBuffContext) -> bool {
    let Some(settings) = tables::settings() else {
        return true;
    };
    let Some(datagram) = find(ctx, Direction::Sent) else {
        return true;
    };
    let is_query = datagram.remote_port == DNS && datagram.length > 0;
    let refused = is_query && read(ctx, &datagram, Direction::Sent)
        || settings.has(Settings::TRAFFIC)
            && (is_refused(&datagram.remote, Kind::Packets, 1)
                || is_refused(&datagram.remote, Kind::Bytes, ctx.skb.len().into()));
    !refused || settings.has(Settings::MONITOR)
}

/// Looks at a packet that has come.
#[inline(always)]
pub fn received(ctx: &SkBuffContext) {
    if let Some(datagram) = find(ctx, Direction::Received)
        && datagram.remote_port == DNS
        && datagram.length > 0
    {
        read(ctx, &datagram, Direction::Received);
    }
}

#[inline(always)]
fn is_refused(address: &Address, kind: Kind, amount: u64) -> bool {
    matches!(boundary::judge(address, kind, amount), Judgement::Refuse)
}

/// Reads the DNS messages in it; says whether one of them must not be sent.
#[inline(always)]
fn read(ctx: &SkBuffContext, datagram: &Datagram, direction: Direction) -> bool {
    let answer = direction == Direction::Received;
    if !datagram.is_tcp {
        return boundary::read_message(
            ctx.skb.skb,
            datagram.offset,
            datagram.length,
            &datagram.remote,
            answer,
        );
    }
    // Over TCP, two bytes before each message say how long it is (RFC 1035, 4.2.2).
    let (mut offset, mut left) = (datagram.offset, datagram.length);
    let mut refused = false;
    for _ in 0..MESSAGES {
        if left < 2 {
            break;
        }
        let Ok(length) = ctx.load::<u16>(offset as usize) else { break };
        let length = u32::from(u16::from_be(length));
        if length + 2 > left {
            tables::count_unread(Unread::Split);
            break;
        }
        refused |= boundary::read_message(ctx.skb.skb, offset + 2, length, &datagram.remote, answer);
        offset += length + 2;
        left -= length + 2;
    }
    refused
}

/// `None` where it is neither UDP nor TCP, or not the beginning.
#[inline(always)]
fn find(ctx: &SkBuffContext, direction: Direction) -> Option<Datagram> {
    let [word] = load::<1>(ctx, 0)?;
    let first = (word >> 24) as u8;
    let (remote, protocol, offset) = match first >> 4 {
        4 => {
            let [_, fragment, about, source, destination] = load::<5>(ctx, 0)?;
            if fragment & 0x1fff != 0 {
                return None; // a later fragment
            }
            let remote = if direction == Direction::Sent { destination } else { source };
            (Address::from_words([0, 0, 0xffff, remote]), (about >> 16) as u8, u32::from(first & 0xf) * 4)
        }
        6 => {
            let [lengths] = load::<1>(ctx, 4)?;
            let remote = load::<4>(ctx, if direction == Direction::Sent { 24 } else { 8 })?;
            (Address::from_words(remote), (lengths >> 8) as u8, 40)
        }
        _ => return None,
    };
    match protocol {
        UDP => {
            let [ports] = load::<1>(ctx, offset)?;
            Some(Datagram {
                remote,
                remote_port: remote_port(ports, direction),
                is_tcp: false,
                offset: offset + 8,
                length: ctx.skb.len().saturating_sub(offset + 8),
            })
        }
        TCP => {
            let [ports, _, _, flags] = load::<4>(ctx, offset)?;
            let payload = offset + (flags >> 28) * 4;
            Some(Datagram {
                remote,
                remote_port: remote_port(ports, direction),
                is_tcp: true,
                offset: payload,
                length: ctx.skb.len().saturating_sub(payload),
            })
        }
        other => {
            if first >> 4 == 6 && EXTENSIONS.contains(&other) {
                tables::count_unread(Unread::Headers);
            }
            None
        }
    }
}

#[inline(always)]
const fn remote_port(ports: u32, direction: Direction) -> u16 {
    match direction {
        Direction::Sent => ports as u16,
        Direction::Received => (ports >> 16) as u16,
    }
}

/// Words in network order.
#[inline(always)]
fn load<const N: usize>(ctx: &SkBuffContext, offset: u32) -> Option<[u32; N]> {
    let words = ctx.load::<[u32; N]>(offset as usize).ok()?;
    // SAFETY: words of an array. Volatile, so that each is loaded by itself: the compiler would load two at once, also
    // from where the verifier allows that for packets, but not for the stack.
    Some(core::array::from_fn(|i| u32::from_be(unsafe { (&raw const words[i]).read_volatile() })))
}
