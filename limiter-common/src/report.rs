//! Refusals that the daemon is told of: what is told, and how seldom.
//!
//! A report is for people, not for accounts: counters have every refusal. So who is refused all the time is told of once a
//! second, and what the daemon is too slow for is lost, and counted.

use crate::key::{Address, Place, Secret};
use crate::outbound::{Settings, Subject};
use crate::verdict::Reason;

/// One refusal, as it lies in the ring buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Outbound: the [`NameId`](crate::name::NameId) that refused it; 0 where that was an address.
    pub name: u64,
    /// Inbound: the source. Outbound: the destination; of a DNS query, the server.
    pub address: Address,
    /// The number of the rule.
    pub rule: u32,
    /// A [`Reason`].
    pub reason: u32,
    /// The port of the destination; 0 where the protocol has none.
    pub port: u32,
    /// [`Report::OUTBOUND`] and so on.
    pub flags: u32,
}

const _: () = assert!(size_of::<Report>() == 48);

impl Report {
    /// It is of a destination, and not of a source.
    pub const OUTBOUND: u32 = 1;
    /// It was counted and let through.
    pub const MONITOR: u32 = 2;

    /// Out of what the ring buffer holds; `None` where that is no report.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let report = Self {
            time: long(0)?,
            name: long(8)?,
            address: Address::from_halves([long(16)?, long(24)?]),
            rule: word(32)?,
            reason: word(36)?,
            port: word(40)?,
            flags: word(44)?,
        };
        (bytes.len() == size_of::<Self>() && report.why().is_some()).then_some(report)
    }

    /// Why it was refused.
    pub const fn why(&self) -> Option<Reason> {
        Reason::from_number(self.reason)
    }

    /// Whether a flag is set.
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// How often one source, name or address is told of at most, in nanoseconds.
pub const EVERY: u64 = 1_000_000_000;

/// Whether whoever was told of `last` may be told of again. Another CPU's clock may be ahead of this one's.
#[inline(always)]
pub const fn is_due(last: u64, now: u64) -> bool {
    now.wrapping_sub(last) as i64 >= EVERY as i64
}

/// How many times of last reports are kept in each direction. Who shares one with somebody is told of less often.
pub const SLOTS: u32 = 4096;

/// Which of them is of a source with this place.
#[inline(always)]
pub const fn source_slot(place: Place) -> u32 {
    place.set(SLOTS - 1)
}

/// Which of them is of a destination.
#[inline(always)]
pub fn destination_slot(settings: &Settings, subject: Subject) -> u32 {
    SLOTS + Place::of_key(&Secret(settings.places), subject.rule, subject.key).set(SLOTS - 1)
}

/// Words of [`REPORTS_COUNTED`](crate::maps::REPORTS_COUNTED): how many reports went to the daemon.
pub const REPORTED: u32 = 0;
/// How many found no room on their way.
pub const LOST: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_told_of_is_told_of_again_a_second_later() {
        for (last, now, due) in [
            (0, 5 * EVERY, true),
            (5 * EVERY, 5 * EVERY, false),
            (5 * EVERY, 6 * EVERY - 1, false),
            (5 * EVERY, 6 * EVERY, true),
            (5 * EVERY, 5 * EVERY - 1, false),
            (u64::MAX, EVERY - 1, true),
        ] {
            assert_eq!(is_due(last, now), due, "{last} {now}");
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_nothing_else_is() {
        let report = Report {
            time: 1 << 60,
            name: 7 << 48 | 5,
            address: Address::from_v4([192, 0, 2, 1]),
            rule: 7,
            reason: Reason::Bytes as u32,
            port: 443,
            flags: Report::OUTBOUND,
        };
        let [upper, lower] = report.address.halves();
        let mut bytes = std::vec::Vec::new();
        for word in [report.time, report.name, upper, lower] {
            bytes.extend(word.to_ne_bytes());
        }
        for word in [report.rule, report.reason, report.port, report.flags] {
            bytes.extend(word.to_ne_bytes());
        }
        assert_eq!(Report::read(&bytes), Some(report));
        assert_eq!(Report::read(&bytes[1..]), None);
        assert_eq!(Report::read(&[&bytes[..], &[0]].concat()), None);
        bytes[36] = 200;
        assert_eq!(Report::read(&bytes), None, "a reason that there is not");
    }
}
