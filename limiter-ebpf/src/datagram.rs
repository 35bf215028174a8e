//! Packets that sockets send and receive: where their payload is, and who is at the other end.

#![expect(unsafe_code, reason = "reads words one by one, and asks the kernel for a socket's number")]

use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SkBuffContext;
use limiter_common::dns::Unread;
use limiter_common::key::Address;
use limiter_common::outbound::tables::Flow;
use limiter_common::outbound::{Kind, Pass, Settings};
use limiter_common::packet::extensions::Upper;
use limiter_common::verdict::Skip;

use crate::boundary::outbound::{self as boundary, Judgement};
use crate::outbound;
use crate::tables::outbound as tables;

const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_LITE: u8 = 136;
const DNS: u16 = 53;
/// How many DNS messages of one TCP segment are read.
const MESSAGES: u32 = 4;

/// The other end, and where the payload lies.
struct Datagram {
    remote: Address,
    /// The other end's; 0 where the protocol has none.
    port: u16,
    protocol: u8,
    offset: u32,
    length: u32,
}

impl Datagram {
    #[inline(always)]
    const fn may_be_dns(&self) -> bool {
        self.port == DNS && matches!(self.protocol, TCP | UDP) && self.length > 0
    }
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
    let refused = datagram.may_be_dns() && read(ctx, &datagram, Direction::Sent)
        || datagram.protocol != TCP && is_new_and_refused(ctx, &datagram)
        || settings.has(Settings::TRAFFIC)
            && (is_refused(&datagram.remote, Kind::Packets, 1)
                || is_refused(&datagram.remote, Kind::Bytes, ctx.skb.len().into()));
    !refused || settings.has(Settings::MONITOR)
}

/// Looks at a packet that has come.
#[inline(always)]
pub fn received(ctx: &SkBuffContext) {
    if let Some(datagram) = find(ctx, Direction::Received)
        && datagram.may_be_dns()
    {
        read(ctx, &datagram, Direction::Received);
    }
}

#[inline(always)]
fn is_refused(address: &Address, kind: Kind, amount: u64) -> bool {
    matches!(boundary::judge(address, kind, amount, Pass::Charge), Judgement::Refuse)
}

/// What is no TCP segment was not charged when its socket was connected: its first packet is.
#[inline(always)]
fn is_new_and_refused(ctx: &SkBuffContext, datagram: &Datagram) -> bool {
    // SAFETY: a helper for this context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.skb.skb.cast()) };
    !outbound::datagram(&Flow { cookie, address: datagram.remote, port: datagram.port.into() })
}

/// Reads the DNS messages in it; says whether one of them must not be sent.
#[inline(always)]
fn read(ctx: &SkBuffContext, datagram: &Datagram, direction: Direction) -> bool {
    let answer = direction == Direction::Received;
    if datagram.protocol != TCP {
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

/// `None` where it is not IP, or not the beginning of a packet.
#[inline(always)]
fn find(ctx: &SkBuffContext, direction: Direction) -> Option<Datagram> {
    let [word] = load::<1>(ctx, 0)?;
    let first = (word >> 24) as u8;
    let (remote, protocol, offset) = match first >> 4 {
        4 => {
            let [fragment, about] = load::<2>(ctx, 4)?;
            if fragment & 0x1fff != 0 {
                return None; // a later fragment
            }
            let [remote] = load::<1>(ctx, if direction == Direction::Sent { 16 } else { 12 })?;
            (Address::from_words([0, 0, 0xffff, remote]), (about >> 16) as u8, u32::from(first & 0xf) * 4)
        }
        6 => {
            let [lengths] = load::<1>(ctx, 4)?;
            let remote = ctx.load(if direction == Direction::Sent { 24 } else { 8 }).ok()?;
            let next = (lengths >> 8) as u8;
            let upper = if matches!(next, TCP | UDP) {
                Upper { protocol: next, offset: 40, fragment: false }
            } else {
                match boundary::skip_extensions(ctx.skb.skb, next) {
                    Ok(upper) => upper,
                    Err(Skip::LaterFragment) => return None,
                    Err(_) => {
                        tables::count_unread(Unread::Headers);
                        Upper { protocol: next, offset: 40, fragment: false }
                    }
                }
            };
            (Address::from_halves(remote), upper.protocol, upper.offset as u32)
        }
        _ => return None,
    };
    let length = ctx.skb.len();
    let (port, payload) = match protocol {
        TCP => {
            let ([ports], [flags]) = (load::<1>(ctx, offset)?, load::<1>(ctx, offset + 12)?);
            (remote_port(ports, direction), offset + (flags >> 28) * 4)
        }
        UDP | UDP_LITE => {
            let [ports] = load::<1>(ctx, offset)?;
            (remote_port(ports, direction), offset + 8)
        }
        _ => (0, length),
    };
    Some(Datagram { remote, port, protocol, offset: payload, length: length.saturating_sub(payload) })
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
