//! Packets that sockets send and receive: where their payload is, and who is at the other end.

#![expect(unsafe_code, reason = "reads words one by one")]

use aya_ebpf::programs::SkBuffContext;
use limiter_common::dns::{Part, Unread};
use limiter_common::key::Address;
use limiter_common::outbound::tables::Flow;
use limiter_common::outbound::{Kind, Pass, Settings};
use limiter_common::packet::extensions::Upper;
use limiter_common::verdict::Skip;

use crate::boundary::observe::{self, Message};
use crate::boundary::{datagram as boundary, outbound as judgement, report};
use crate::frame::{Direction, SocketPacket};
use crate::observe::cookie;
use crate::outbound::answer::Judgement;
use crate::tables::outbound as tables;
use crate::{outbound, stream};

const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_LITE: u8 = 136;
const DNS: u32 = 53;

/// The other end, and where the payload lies.
#[repr(C)]
pub struct Datagram {
    pub remote: Address,
    /// 0 where the protocol has none.
    remote_port: u32,
    protocol: u32,
    /// Where the payload is, or what of it has not been read.
    pub offset: u32,
    pub left: u32,
    /// Of TCP: the sequence number of the byte there.
    pub sequence: u32,
    /// Of TCP: what the sender had received.
    pub acknowledged: u32,
}

/// Says whether a packet may be sent.
#[inline(always)]
pub fn sent(ctx: &SkBuffContext) -> bool {
    let Some(settings) = tables::settings() else {
        return true;
    };
    let mut datagram = Datagram::NONE;
    match SocketPacket(ctx.skb.skb).brief(Direction::Sent) {
        Some(brief) if u32::from(brief.remote_port) != DNS => {
            // Most packets leave here.
            if brief.protocol == TCP && !settings.has(Settings::TRAFFIC) {
                return true;
            }
            datagram.remote = brief.remote;
            (datagram.remote_port, datagram.protocol) = (brief.remote_port.into(), brief.protocol.into());
        }
        _ if !boundary::find_datagram(ctx, Direction::Sent, &mut datagram) => return true,
        _ => {}
    }
    let refused = datagram.is_message() && read(ctx, &mut datagram, Direction::Sent)
        || !datagram.is(TCP) && is_new_and_refused(ctx, &datagram)
        || settings.has(Settings::TRAFFIC) && is_refused(&datagram, ctx.skb.len().into());
    !refused || settings.has(Settings::MONITOR)
}

/// Looks at a packet that has come.
#[inline(always)]
pub fn received(ctx: &SkBuffContext) {
    let brief = SocketPacket(ctx.skb.skb).brief(Direction::Received);
    if brief.is_some_and(|brief| u32::from(brief.remote_port) != DNS) {
        return;
    }
    let mut datagram = Datagram::NONE;
    if boundary::find_datagram(ctx, Direction::Received, &mut datagram) && datagram.is_message() {
        read(ctx, &mut datagram, Direction::Received);
    }
}

impl Datagram {
    /// Nothing yet. Not all zeros: for those the compiler calls a function.
    pub const NONE: Self = Self {
        remote: Address::from_words([0, 0, 0, 1]),
        remote_port: 0,
        protocol: 0,
        offset: 0,
        left: 0,
        sequence: 0,
        acknowledged: u32::MAX,
    };

    #[inline(always)]
    const fn is(&self, protocol: u8) -> bool {
        self.protocol == protocol as u32
    }

    /// Whether it can hold DNS messages.
    #[inline(always)]
    const fn is_message(&self) -> bool {
        self.remote_port == DNS && (self.is(TCP) || self.is(UDP)) && self.left > 0
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
fn is_refused(datagram: &Datagram, bytes: u64) -> bool {
    match judgement::judge(&datagram.remote, Kind::Bytes, bytes, Pass::Charge) {
        Judgement::Admit | Judgement::Exempt => false,
        Judgement::Refuse(answer) => {
            report::outbound(answer, &datagram.remote, datagram.remote_port as u16);
            true
        }
    }
}

/// What is no TCP segment was not charged when its socket was connected: its first packet is.
#[inline(always)]
fn is_new_and_refused(ctx: &SkBuffContext, datagram: &Datagram) -> bool {
    let (address, port) = (datagram.remote, datagram.remote_port.into());
    !outbound::datagram(&Flow { cookie: cookie(ctx.skb.skb), address, port })
}

/// Reads the DNS messages in it; says whether one of them must not be sent.
#[inline(always)]
fn read(ctx: &SkBuffContext, datagram: &mut Datagram, direction: Direction) -> bool {
    if datagram.is(TCP) {
        return match direction {
            // A function of its own only here, because the way to the judgement of a packet needs the stack.
            Direction::Sent => boundary::read_sent(ctx, datagram),
            Direction::Received => stream::read(ctx, datagram, direction),
        };
    }
    let message = match direction {
        Direction::Sent => Message::Query,
        Direction::Received => Message::OnlyAnswer,
    };
    observe::read_message(ctx.skb.skb, datagram.offset, Part::all(datagram.left), &datagram.remote, message)
}

/// Says no where it is not IP, or not the beginning of a packet. Where it says yes, what it found is written.
#[inline(always)]
pub fn find(ctx: &SkBuffContext, direction: Direction, found: &mut Datagram) -> bool {
    try_to_find(ctx, direction, found).is_some()
}

#[inline(always)]
fn try_to_find(ctx: &SkBuffContext, direction: Direction, found: &mut Datagram) -> Option<()> {
    // In one go what is there of either version: each call of the helper costs as much as the rest of this.
    let [word, second, about, source, destination] = load::<5>(ctx, 0)?;
    let first = (word >> 24) as u8;
    let (protocol, offset) = match first >> 4 {
        4 => {
            if second & 0x1fff != 0 {
                return None; // a later fragment
            }
            let remote = if direction == Direction::Sent { destination } else { source };
            found.remote = Address::from_words([0, 0, 0xffff, remote]);
            ((about >> 16) as u8, u32::from(first & 0xf) * 4)
        }
        6 => {
            let remote = ctx.load(if direction == Direction::Sent { 24 } else { 8 }).ok()?;
            found.remote = Address::from_halves(remote);
            let next = (second >> 8) as u8;
            if matches!(next, TCP | UDP) {
                (next, 40)
            } else {
                match boundary::skip_extensions(ctx.skb.skb, next) {
                    Ok(Upper { protocol, offset, .. }) => (protocol, offset as u32),
                    Err(Skip::LaterFragment) => return None,
                    Err(_) => {
                        tables::count_unread(Unread::Headers);
                        (next, 40)
                    }
                }
            }
        }
        _ => return None,
    };
    let length = ctx.skb.len();
    (found.protocol, found.remote_port) = (protocol.into(), 0);
    found.offset = match protocol {
        TCP => {
            let [ports, sequence, acknowledged, flags] = load::<4>(ctx, offset)?;
            found.remote_port = remote_port(ports, direction);
            (found.sequence, found.acknowledged) = (sequence, acknowledged);
            offset + (flags >> 28) * 4
        }
        UDP | UDP_LITE => {
            let [ports] = load::<1>(ctx, offset)?;
            found.remote_port = remote_port(ports, direction);
            offset + 8
        }
        _ => length,
    };
    found.left = length.saturating_sub(found.offset);
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
