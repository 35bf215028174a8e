//! What becomes of a connection or packet.

use limiter_common::maps::MAX_HOST_RULES;
use limiter_common::name::NameId;
use limiter_common::verdict::Reason;

/// What became of a connection or packet.
#[derive(Clone, Copy)]
pub enum Judgement {
    Admit,
    Exempt,
    Refuse(Answer),
}

/// What subjects said: 0 where all admit, or else the name that refuses, as its [`NameId`], or only the rule where that is
/// an address; and above it the reason and 1.
///
/// A number also where it is passed on: of an `Option` the compiler leaves half undefined, which the verifier refuses.
#[derive(Clone, Copy)]
pub struct Answer(pub u64);

impl Answer {
    pub const ADMIT: Self = Self(0);
    const REASON: u32 = 60;
    const NAME: u64 = (1 << Self::REASON) - 1;
    const RULE: u32 = 48;

    #[inline(always)]
    pub const fn refuse(rule: u32, reason: Reason) -> Self {
        Self((reason as u64 + 1) << Self::REASON | (rule as u64) << Self::RULE)
    }

    /// The same, where the subject is a name.
    #[inline(always)]
    pub const fn of(self, id: NameId) -> Self {
        if self.admits() { self } else { Self(self.0 | id.bits()) }
    }

    /// The name that refuses; `None` where that is an address.
    #[inline(always)]
    pub const fn name(self) -> Option<NameId> {
        if self.0 & ((1 << Self::RULE) - 1) == 0 { None } else { NameId::from_bits(self.0 & Self::NAME) }
    }

    #[inline(always)]
    pub const fn admits(self) -> bool {
        self.0 == 0
    }

    /// This one, or the other where this one admits.
    #[inline(always)]
    pub const fn or(self, other: Self) -> Self {
        if self.admits() { other } else { self }
    }

    #[inline(always)]
    pub fn refusal(self) -> Option<Refusal> {
        let reason = ((self.0 >> Self::REASON) as u32).checked_sub(1)?;
        let rule = ((self.0 & Self::NAME) >> Self::RULE) as u32;
        Some(Refusal { reason: Reason::from_number(reason)?, rule })
    }
}

// A rule's number has the sixteen upper bits of a name, of which the reason takes four.
const _: () = assert!(MAX_HOST_RULES <= 1 << 12 && Reason::ALL.len() < 1 << 4);

/// Why and by which rule something is refused.
#[derive(Clone, Copy)]
pub struct Refusal {
    pub reason: Reason,
    pub rule: u32,
}
