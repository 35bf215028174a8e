//! What becomes of a SYN.

use limiter_common::rule::{Action, Rule};
use limiter_common::verdict::Reason;

/// What became of a SYN, and is counted: 0 where it passes, or what is done to it, and above that the reason.
///
/// Only a number: of what a variant holds besides, the compiler leaves half undefined, which the verifier refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Outcome(pub u64);

/// What an [`Outcome`] says that is done.
pub enum Done {
    Admit,
    /// `None` in monitor mode.
    Refuse(Option<Action>),
    Nothing,
}

impl Outcome {
    pub const ADMIT: Self = Self(0);
    /// A map lacks an entry.
    pub const MISSING: Self = Self(4);

    const COUNTED: u64 = 1;
    const DROP: u64 = 2;
    const RESET: u64 = 3;
    const REASON: u32 = 8;

    /// What a rule does to what it refuses.
    #[inline(always)]
    pub const fn refuse(rule: &Rule, reason: Reason) -> Self {
        let done = match rule.action() {
            None => Self::COUNTED,
            Some(Action::Drop) => Self::DROP,
            Some(Action::Reset) => Self::RESET,
        };
        Self(done | (reason as u64) << Self::REASON)
    }

    /// The number of the [`Reason`] why it was refused.
    #[inline(always)]
    pub const fn reason(self) -> u32 {
        (self.0 >> Self::REASON) as u32
    }

    #[inline(always)]
    pub const fn done(self) -> Done {
        match self.0 & ((1 << Self::REASON) - 1) {
            0 => Done::Admit,
            Self::COUNTED => Done::Refuse(None),
            Self::DROP => Done::Refuse(Some(Action::Drop)),
            Self::RESET => Done::Refuse(Some(Action::Reset)),
            _ => Done::Nothing,
        }
    }
}
