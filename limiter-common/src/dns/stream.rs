//! Messages that do not come in one piece: over TCP, or longer than what is read.

use super::{MAX_MESSAGE, Unread};

/// How much of a message is at hand, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The length of the message.
    pub whole: u32,
    /// So many of its first bytes.
    pub here: u32,
}

impl Part {
    /// All of a message.
    #[inline(always)]
    pub const fn all(length: u32) -> Self {
        Self { whole: length, here: length }
    }

    /// The beginning of a message of which `left` bytes, or more than there are, have come.
    #[inline(always)]
    pub const fn of(whole: u32, left: u32) -> Self {
        Self { whole, here: if left < whole { left } else { whole } }
    }

    /// How many bytes are read.
    #[inline(always)]
    pub const fn read(self) -> u32 {
        if self.here > MAX_MESSAGE as u32 { MAX_MESSAGE as u32 } else { self.here }
    }

    /// Why a message is really not understood: where reading met its end, it may have been cut off there by us.
    #[inline(always)]
    #[must_use]
    pub const fn blame(self, why: Unread) -> Unread {
        match why {
            Unread::Truncated if self.here > MAX_MESSAGE as u32 => Unread::TooLong,
            Unread::Truncated if self.here < self.whole => Unread::Split,
            _ => why,
        }
    }
}

/// Where the next message of a TCP stream begins, after one that did not end in its segment.
///
/// What lies before that is the rest of a message whose beginning was read. It must not be taken for another message:
/// whoever has a name of his own chooses bytes of its answer, and could put one for somebody else's name there.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// The sequence number of its first byte.
    pub sequence: u32,
    /// How many bytes it has, where its length has come by itself; 0 where that comes first.
    pub length: u32,
}

const _: () = assert!(size_of::<Awaited>() == 8);

impl Awaited {
    /// How many bytes of a segment with this sequence number lie before it; `None` where it lies before the segment, which
    /// cannot be understood then.
    #[inline(always)]
    pub const fn before(&self, sequence: u32) -> Option<u32> {
        let bytes = self.sequence.wrapping_sub(sequence);
        if bytes > i32::MAX as u32 { None } else { Some(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_cut_off_by_us_is_blamed_on_the_cut() {
        let most = MAX_MESSAGE as u32;
        for (part, why) in [
            (Part::all(100), Unread::Truncated),
            (Part::all(most), Unread::Truncated),
            (Part::all(most + 1), Unread::TooLong),
            (Part::of(100, 99), Unread::Split),
            (Part::of(100, 101), Unread::Truncated),
            (Part::of(2 * most, most), Unread::Split),
            (Part::of(2 * most, most + 1), Unread::TooLong),
        ] {
            assert_eq!(part.blame(Unread::Truncated), why, "{part:?}");
            assert_eq!(part.blame(Unread::BadRecord), Unread::BadRecord, "{part:?}");
            assert_eq!(part.read(), part.here.min(most));
        }
    }

    #[test]
    fn what_lies_before_the_awaited_message_is_passed_over_also_where_sequence_numbers_begin_again() {
        for start in [0, 1000, u32::MAX - 5, i32::MAX as u32 - 5] {
            let awaited = Awaited { sequence: start.wrapping_add(10), length: 0 };
            assert_eq!(awaited.before(start), Some(10));
            assert_eq!(awaited.before(start.wrapping_add(10)), Some(0));
            assert_eq!(awaited.before(start.wrapping_add(11)), None);
        }
    }
}
