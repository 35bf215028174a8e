//! DNS over TCP: where in a segment the messages are.

use aya_ebpf::programs::SkBuffContext;
use limiter_common::dns::{Awaited, Part, Unread};

use crate::boundary::observe::{self as boundary, Message};
use crate::datagram::Datagram;
use crate::frame::Direction;
use crate::observe::cookie;
use crate::tables::outbound as tables;

/// How many messages of one segment are read.
const MESSAGES: u32 = 8;

/// Reads the messages in a segment; says whether one of them must not be sent.
///
/// A message whose end is in another segment is read as far as it is here. A segment that begins in the middle of a
/// message is read from where the next one begins, where that is known. Of what is received, never from where one only might
/// begin; what is sent, the process has written itself.
#[inline(always)]
pub fn read(ctx: &SkBuffContext, segment: &mut Datagram, direction: Direction) -> bool {
    let cookie = cookie(ctx.skb.skb);
    if direction == Direction::Sent {
        find_again(cookie, segment.acknowledged);
    }
    let stream = key(cookie, direction);
    let mut is_known = false;
    let mut body = 0;
    if let Some(awaited) = tables::awaited(stream) {
        is_known = true;
        if let Some(before) = awaited.before(segment.sequence) {
            if before > segment.left || (before == segment.left && awaited.length == 0) {
                return false;
            }
            segment.skip(before);
            body = awaited.length;
        } else if direction == Direction::Received {
            tables::count_unread(Unread::Split);
            return false;
        }
    }
    let mut refused = false;
    for _ in 0..MESSAGES {
        if body == 0 {
            // Two bytes before each message say how long it is (RFC 1035, 4.2.2).
            if segment.left < 2 {
                break;
            }
            let Ok(length) = ctx.load::<u16>(segment.offset as usize) else { break };
            body = u32::from(u16::from_be(length));
            segment.skip(2);
        }
        if segment.left == 0 {
            break;
        }
        let part = Part::of(body, segment.left);
        let message = if direction == Direction::Received { Message::Answer } else { Message::Query };
        refused |= boundary::read_message(ctx.skb.skb, segment.offset, part, &segment.remote, message);
        segment.skip(part.here);
        if part.here < body {
            segment.sequence = segment.sequence.wrapping_add(body - part.here);
            is_known = true;
        }
        body = 0;
    }
    if segment.left > 0 {
        // More messages than are read, or one half of a length: the rest cannot be found again.
        tables::count_unread(Unread::Split);
    }
    // What must not be sent comes again, and is to be judged again.
    if !refused && (is_known || body > 0 || segment.left > 0) {
        tables::await_message(stream, &Awaited { sequence: segment.sequence, length: body });
    }
    refused
}

/// Goes on behind what has been received, where messages in it were lost, as after a gap: who asks has mostly read all
/// that has come.
#[inline(always)]
fn find_again(cookie: u64, acknowledged: u32) {
    let stream = key(cookie, Direction::Received);
    if let Some(awaited) = tables::awaited(stream)
        && awaited.before(acknowledged).is_none()
    {
        tables::await_message(stream, &Awaited { sequence: acknowledged, length: 0 });
    }
}

#[inline(always)]
const fn key(cookie: u64, direction: Direction) -> u64 {
    cookie << 1 | matches!(direction, Direction::Sent) as u64
}
