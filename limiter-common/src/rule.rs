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
}

const _: () = assert!(size_of::<Rule>() == 120);

impl Rule {
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
