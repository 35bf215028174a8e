//! One destination: find what it is held to, ask, charge, count.

use limiter_common::key::Address;
use limiter_common::mapping::SharedNames;
use limiter_common::outbound::{Held, Kind, PER_IP_RULE, Pass, Settings, Subject};

use super::answer::{Answer, Refusal};
use crate::atomics::Word;
use crate::boundary::outbound as boundary;
use crate::clock::now;
use crate::tables::outbound as tables;

/// An address, and what it is held to.
pub struct Destination<'a> {
    settings: &'static Settings,
    address: &'a Address,
    held: Held<&'static SharedNames<Word>>,
}

impl<'a> Destination<'a> {
    /// `None` where nothing holds.
    #[inline(always)]
    pub fn find(address: &'a Address) -> Option<Self> {
        let settings = tables::settings()?;
        let held =
            Held::new(tables::listed(address), tables::network(address), || tables::unlisted(address))?;
        Some(Self { settings, address, held })
    }

    /// What its subjects say, which are charged unless they are only asked.
    #[inline(always)]
    pub fn judge(&self, kind: Kind, amount: u64, pass: Pass) -> Answer {
        let now = now();
        let is_only_asked = matches!(pass, Pass::Ask);
        let is_asked = is_only_asked || !self.is_alone(kind);
        let mut answer = Answer::ADMIT;
        // One loop, not two calls: so this is compiled once, and needs less of the stack.
        for (pass, wanted) in [(Pass::Ask, is_asked), (Pass::Charge, !is_only_asked)] {
            if wanted && answer.admits() {
                answer = self.pass(kind, amount, pass, now);
            }
        }
        match answer.refusal() {
            Some(refusal) => count_refusal(refusal),
            None if kind as u32 == Kind::Rate as u32 && !is_only_asked => {
                if let Some(rule) = self.held.rule {
                    tables::count_host(rule, |counters| counters.allowed += 1);
                }
                if self.settings.has(Settings::PER_IP) {
                    tables::count_host(PER_IP_RULE, |counters| counters.allowed += 1);
                }
            }
            None => {}
        }
        answer
    }

    /// Whether there is only one to be charged, so that nobody needs to be asked before.
    #[inline(always)]
    fn is_alone(&self, kind: Kind) -> bool {
        let per_ip = matches!(kind, Kind::Rate) && self.settings.has(Settings::PER_IP);
        match self.held.names {
            None => !per_ip,
            // The places of an address fill from the first one on.
            Some(names) => !per_ip && self.held.rule.is_none() && names.get(1).is_none(),
        }
    }

    /// The address first, and its names last, because these count what they admit.
    #[inline(always)]
    fn pass(&self, kind: Kind, amount: u64, pass: Pass, now: u64) -> Answer {
        let mut answer = Answer::ADMIT;
        if let Some(rule) = self.held.rule {
            answer = boundary::weigh(Subject::address(rule, self.address), kind, amount, pass, now);
        }
        if matches!(kind, Kind::Rate) && self.settings.has(Settings::PER_IP) {
            let per_ip = Subject::address(PER_IP_RULE, self.address);
            answer = answer.or(boundary::weigh(per_ip, kind, amount, pass, now));
        }
        match self.held.names {
            Some(names) if answer.admits() || matches!(pass, Pass::Ask) => {
                answer.or(boundary::weigh_all(names, kind, amount, pass, now))
            }
            _ => answer,
        }
    }
}

/// Counts a refusal with its rule.
#[inline(always)]
pub fn count_refusal(refusal: Refusal) {
    tables::count_host(refusal.rule, |counters| {
        // The compiler knows that a reason has its counter, and would not compare; the verifier does not.
        let index = core::hint::black_box(refusal.reason as usize);
        if let Some(refused) = counters.refused.get_mut(index) {
            *refused += 1;
        }
    });
}
