//! Packets that sockets send and receive: where their payload is, and who is at the other end.

#![expect(unsafe_code, reason = "reads words one by one")]

use aya_ebpf::programs::SkBuffContext;
use limiter_common::dns::{Part, Unread};
use limiter_common::key::Address;
use limiter_common::outbound::{Kind, Settings};

use crate::boundary::outbound::{self as boundary, Judgement};
use crate::stream;
use crate::tables::outbound as tables;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// IPv6 extension headers: hop-by-hop, routing, fragment, destination.
const EXTENSIONS: [u8; 4] = [0, 43, 44, 60];
const DNS: u32 = 53;

/// The other end, and where the payload lies.
#[repr(C)]
pub struct Datagram {
    pub remote: Address,
    remote_port: u32,
    /// 1 or 0.
    is_tcp: u32,
    /// Where the payload is, or what of it has not been read.
    pub offset: u32,
    pub left: u32,
    /// Of TCP: the sequence number of the byte there.
    pub sequence: u32,
    /// Of TCP: what the sender had received.
    pub acknowledged: u32,
}

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

/// Says whether a packet may be sent.
#[inline(always)]
pub fn sent(ctx: &SkBuffContext) -> bool {
    let Some(settings) = tables::settings() else {
        return true;
    };
    let mut datagram = Datagram::NONE;
    if !boundary::find_datagram(ctx, Direction::Sent, &mut datagram) {
        return true;
    }
    let is_query = datagram.is_message();
    let refused = is_query && read(ctx, &mut datagram, Direction::Sent)
        || settings.has(Settings::TRAFFIC)
            && (is_refused(&datagram.remote, Kind::Packets, 1)
                || is_refused(&datagram.remote, Kind::Bytes, ctx.skb.len().into()));
    !refused || settings.has(Settings::MONITOR)
}

/// Looks at a packet that has come.
#[inline(always)]
pub fn received(ctx: &SkBuffContext) {
    let mut datagram = Datagram::NONE;
    if boundary::find_datagram(ctx, Direction::Received, &mut datagram) && datagram.is_message() {
        read(ctx, &mut datagram, Direction::Received);
    }
}

impl Datagram {
    /// Nothing yet.
    pub const NONE: Self = Self {
        remote: Address::from_words([0; 4]),
        remote_port: 0,
        is_tcp: 0,
        offset: 0,
        left: 0,
        sequence: 0,
        acknowledged: 0,
    };

    /// Whether it can hold DNS messages.
    #[inline(always)]
    const fn is_message(&self) -> bool {
        self.remote_port == DNS && self.left > 0
    }

    /// Goes on by so many bytes.
    #[inline(always)]
    pub const fn skip(&mut self, bytes: u32) {
        self.offset += bytes;
        self.left -= bytes;
        self.sequence = self.sequence.wrapping_add(bytes);
    }
}

#[inline(always)]
fn is_refused(address: &Address, kind: Kind, amount: u64) -> bool {
    matches!(boundary::judge(address, kind, amount), Judgement::Refuse)
}

/// Reads the DNS messages in it; says whether one of them must not be sent.
#[inline(always)]
fn read(ctx: &SkBuffContext, datagram: &mut Datagram, direction: Direction) -> bool {
    if datagram.is_tcp == 1 {
        return stream::read(ctx, datagram, direction);
    }
    let answer = direction == Direction::Received;
    boundary::read_message(ctx.skb.skb, datagram.offset, Part::all(datagram.left), &datagram.remote, answer)
}

/// Says no where it is neither UDP nor TCP, or not the beginning. Where it says yes, what it found is written.
#[inline(always)]
pub fn find(ctx: &SkBuffContext, direction: Direction, found: &mut Datagram) -> bool {
    try_to_find(ctx, direction, found).is_some()
}

#[inline(always)]
fn try_to_find(ctx: &SkBuffContext, direction: Direction, found: &mut Datagram) -> Option<()> {
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
    let ports = match protocol {
        UDP => {
            let [ports] = load::<1>(ctx, offset)?;
            (found.is_tcp, found.offset) = (0, offset + 8);
            ports
        }
        TCP => {
            let [ports, sequence, acknowledged, flags] = load::<4>(ctx, offset)?;
            (found.is_tcp, found.offset) = (1, offset + (flags >> 28) * 4);
            (found.sequence, found.acknowledged) = (sequence, acknowledged);
            ports
        }
        other => {
            if first >> 4 == 6 && EXTENSIONS.contains(&other) {
                tables::count_unread(Unread::Headers);
            }
            return None;
        }
    };
    found.remote = remote;
    found.remote_port = remote_port(ports, direction);
    found.left = ctx.skb.len().saturating_sub(found.offset);
    Some(())
}

#[inline(always)]
const fn remote_port(ports: u32, direction: Direction) -> u32 {
    match direction {
        Direction::Sent => ports & 0xffff,
        Direction::Received => ports >> 16,
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
