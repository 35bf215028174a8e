//! What is configured, in the shape in which the kernel reads it.

use crate::gcra::Limit;
use crate::key::Address;

/// What is done to a SYN that a rule refuses.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Silence: the client tries again after 1, 3, 7, ... seconds.
    Drop = 0,
    /// An RST: the client's `connect()` fails at once with ECONNREFUSED.
    Reset = 1,
}

/// What uses up the rate of a source.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charge {
    /// A SYN. It is judged before the kernel has done anything for it, and anybody can send one in another's name.
    #[default]
    Syn = 0,
    /// A handshake that was completed. Nobody can forge one; SYNs pass until the rate is used up.
    Handshake = 1,
}

/// One rule, for all of its ports together.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// New connections of one source prefix.
    pub rate: Limit,
    /// New connections of all sources together.
    pub total: Limit,
    /// New connections of all sources together that have not completed a handshake lately.
    pub strangers: Limit,
    /// Which bits of an IPv4-mapped source make its prefix.
    pub mask_v4: Address,
    /// Which bits of an IPv6 source make its prefix.
    pub mask_v6: Address,
    /// An [`Action`].
    pub action: u32,
    /// 1 where refusals are counted and not carried out.
    pub monitor: u32,
    /// Connections that one source prefix may hold open; 0 where that is not limited.
    pub max_open: u32,
    /// A [`Charge`].
    pub charge: u32,
    /// What [`with_hints`](Self::with_hints) has found out of the rest.
    pub hints: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Rule>() == 128);

impl Rule {
    /// Each source has a rate, charged by SYNs, and all may have one; there is nothing else to look at.
    const PLAIN: u32 = 1;
    /// The coarse clock will do.
    const COARSE: u32 = 2;

    /// How far the coarse clock may be behind, in nanoseconds: two ticks of the slowest kernel (`CONFIG_HZ_100`).
    pub const LAG: u64 = 20_000_000;

    /// With what need not be found out anew for each SYN.
    ///
    /// The coarse clock goes on once a tick, and takes a fraction of the time to read.
    #[must_use]
    pub const fn with_hints(self) -> Self {
        let plain = !self.rate.is_none()
            && self.strangers.is_none()
            && self.max_open == 0
            && !self.charges_handshakes();
        let plain = if plain { Self::PLAIN } else { 0 };
        let limits = (
            self.rate.by_clocks_that_lag(Self::LAG),
            self.total.by_clocks_that_lag(Self::LAG),
            self.strangers.by_clocks_that_lag(Self::LAG),
        );
        if let (Some(rate), Some(total), Some(strangers)) = limits {
            Self { rate, total, strangers, hints: plain | Self::COARSE, ..self }
        } else {
            Self { hints: plain, ..self }
        }
    }

    /// With the coarse clock in any case, where it does not matter that a limit is a few percent wrong.
    #[must_use]
    pub const fn coarsely(self) -> Self {
        Self { hints: self.hints | Self::COARSE, ..self }
    }

    /// Whether each source has a rate, charged by SYNs, and there is nothing else to look at but the rate of all.
    #[inline(always)]
    pub const fn is_plain(&self) -> bool {
        self.hints & Self::PLAIN != 0
    }

    /// Whether the coarse clock will do.
    #[inline(always)]
    pub const fn is_coarse(&self) -> bool {
        self.hints & Self::COARSE != 0
    }

    /// Which bits of a source make its prefix.
    #[inline(always)]
    pub const fn mask(&self, v6: bool) -> &Address {
        if v6 { &self.mask_v6 } else { &self.mask_v4 }
    }

    /// Whether SYNs use up nothing of a source's rate.
    #[inline(always)]
    pub const fn charges_handshakes(&self) -> bool {
        self.charge == Charge::Handshake as u32
    }

    /// Whether handshakes matter to it: they are counted, and remembered.
    #[inline(always)]
    pub const fn watches_handshakes(&self) -> bool {
        self.max_open != 0 || !self.strangers.is_none() || self.charges_handshakes()
    }

    /// What to do to a SYN that is refused, or `None` where it is only counted.
    #[inline(always)]
    pub const fn action(&self) -> Option<Action> {
        if self.monitor != 0 {
            None
        } else if self.action == Action::Reset as u32 {
            Some(Action::Reset)
        } else {
            Some(Action::Drop)
        }
    }
}

/// The rule numbers of 64 neighbouring ports, 0 for none: one cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSet(pub [u8; 64]);

const _: () = assert!(size_of::<PortSet>() == 64);

impl PortSet {
    /// How many of them cover all ports.
    pub const COUNT: u32 = 1024;

    /// The element that holds `port`.
    #[inline(always)]
    pub const fn index(port: u16) -> u32 {
        port as u32 >> 6
    }

    /// The rule number of `port`, if it is in this element.
    #[inline(always)]
    pub const fn rule(&self, port: u16) -> u32 {
        self.0[port as usize & 63] as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rule(count: u64, burst: u64) -> Rule {
        Rule {
            rate: Limit::new(count, SECOND, burst, 0).unwrap(),
            total: Limit::NONE,
            strangers: Limit::NONE,
            mask_v4: Address::mask(128),
            mask_v6: Address::mask(64),
            action: 0,
            monitor: 0,
            max_open: 0,
            charge: 0,
            hints: 0,
            reserved: 0,
        }
    }

    #[test]
    fn the_coarse_clock_is_for_limits_that_allow_for_its_lag() {
        for (count, burst, coarse) in [
            (1, 1, true),
            (25, 1, true),
            (26, 2, false),
            (1000, 4000, false),
            (1000, 4001, true),
            (10_000_000, 40_000_001, true),
        ] {
            let rule = rule(count, burst);
            assert_eq!(rule.with_hints().is_coarse(), coarse, "{count}/s burst {burst}");
            let slack = if coarse { Rule::LAG } else { 0 };
            assert_eq!(
                rule.with_hints().rate.tolerance,
                rule.rate.tolerance + slack,
                "{count}/s burst {burst}"
            );
        }
        for (backoff, coarse) in [(2 * SECOND, false), (4 * SECOND, true)] {
            let rate = Limit { backoff, ..rule(1, 2).rate };
            assert_eq!(Rule { rate, ..rule(1, 2) }.with_hints().is_coarse(), coarse, "back-off {backoff}");
        }
        let fast = Limit::new(1000, SECOND, 2, 0).unwrap();
        assert!(!Rule { total: fast, ..rule(1, 2) }.with_hints().is_coarse());
        assert!(!Rule { strangers: fast, ..rule(1, 2) }.with_hints().is_coarse());
    }

    #[test]
    fn a_plain_rule_has_a_rate_and_at_most_a_total() {
        let plain = rule(1, 2);
        assert!(plain.with_hints().is_plain());
        assert!(Rule { total: plain.rate, ..plain }.with_hints().is_plain());
        for other in [
            Rule { rate: Limit::NONE, ..plain },
            Rule { strangers: plain.rate, ..plain },
            Rule { max_open: 1, ..plain },
            Rule { charge: Charge::Handshake as u32, ..plain },
        ] {
            assert!(!other.with_hints().is_plain(), "{other:?}");
        }
    }
}
