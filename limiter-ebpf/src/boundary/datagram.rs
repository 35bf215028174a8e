//! The same for packets of sockets.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::programs::SkBuffContext;
use limiter_common::packet::extensions::{self, Upper};
use limiter_common::verdict::Skip;

use super::{pack_upper, unpack_upper};
use crate::datagram::{self, Datagram};
use crate::frame::{Direction, SocketPacket};
use crate::stream;

/// Finds the payload of a packet; says no where there is none.
#[inline(always)]
pub fn find_datagram(ctx: &SkBuffContext, direction: Direction, found: &mut Datagram) -> bool {
    find_payload(ctx.skb.skb, u64::from(direction == Direction::Sent), &raw mut *found) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn find_payload(skb: *mut __sk_buff, is_sent: u64, found: *mut Datagram) -> u64 {
    let direction = if is_sent == 1 { Direction::Sent } else { Direction::Received };
    // SAFETY: made of a reference that nobody else has, or null.
    let Some(found) = (unsafe { found.as_mut() }) else {
        return 0;
    };
    datagram::find(&SkBuffContext::new(skb), direction, found).into()
}

/// Reads the messages in a segment that is sent, as [`stream::read`].
#[inline(always)]
pub fn read_sent(ctx: &SkBuffContext, segment: &mut Datagram) -> bool {
    read_sent_segment(ctx.skb.skb, &raw mut *segment) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_sent_segment(skb: *mut __sk_buff, segment: *mut Datagram) -> u64 {
    // SAFETY: made of a reference that nobody else has, or null.
    let Some(segment) = (unsafe { segment.as_mut() }) else {
        return 0;
    };
    stream::read(&SkBuffContext::new(skb), segment, Direction::Sent).into()
}

/// Finds what is behind the extension headers of a packet that a socket sends or receives.
#[inline(always)]
pub fn skip_extensions(skb: *mut __sk_buff, first: u8) -> Result<Upper, Skip> {
    unpack_upper(skip_socket_extensions(skb, first.into()))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn skip_socket_extensions(skb: *mut __sk_buff, first: u64) -> u64 {
    const HEADER: usize = 40;

    pack_upper(extensions::skip(&SocketPacket(skb), first as u8, HEADER))
}
