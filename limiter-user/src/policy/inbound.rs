//! Rules for ports, and the map entries that say them to the kernel.

use std::time::Duration;

use limiter_common::gcra::Limit;
use limiter_common::rule::{Action, Charge, Rule};

use crate::config::ports::Ports;
use crate::config::prefix::SourcePrefix;
use crate::config::rate::Rate;
use crate::failure::Failure;

/// One rule, as asked for.
#[derive(Debug, Clone)]
pub struct InboundRule {
    /// How counters and messages call it.
    pub name: String,
    /// Where it holds.
    pub ports: Ports,
    /// New connections of one source.
    pub rate: Option<Rate>,
    /// New connections of all sources together.
    pub total_rate: Option<Rate>,
    /// New connections of all sources together that have not completed a handshake lately.
    pub strangers_rate: Option<Rate>,
    /// What uses up `rate`.
    pub charge: Charge,
    /// Connections that one source may hold open, 1 to 65535.
    pub max_open: Option<u32>,
    /// How long a source is refused after it went over its rate.
    pub backoff: Duration,
    /// What makes one source.
    pub source_prefix: SourcePrefix,
    /// What happens to a refused SYN.
    pub action: Action,
    /// Count only.
    pub monitor: bool,
}

/// How many resets are sent. What is over it is refused in silence.
#[derive(Debug, Clone, Copy)]
pub struct ResetBudget {
    /// To one source.
    pub rate: Rate,
    /// To all sources together.
    pub total_rate: Rate,
}

impl InboundRule {
    /// The entry in the kernel's table of rules.
    ///
    /// # Errors
    ///
    /// A rule without a limit; a rate that the kernel cannot hold.
    pub fn entry(&self) -> Result<Rule, Failure> {
        let is_limited = self.rate.is_some() || self.total_rate.is_some() || self.strangers_rate.is_some();
        if !is_limited && self.max_open.is_none() {
            return Err(Failure::new(
                format!("rule '{}' limits nothing", self.name),
                "give it --rate '900/min burst 60', or --total-rate '20000/s', or --max-open 100",
            ));
        }
        if self.rate.is_none() && self.charge == Charge::Handshake {
            return Err(Failure::new(
                format!("rule '{}' charges handshakes, but has no rate that they could use up", self.name),
                "give it --rate, or leave --charge out",
            ));
        }
        if self.rate.is_none() && !self.backoff.is_zero() {
            return Err(Failure::new(
                format!("rule '{}' has a back-off, but no rate that a source could pass", self.name),
                "give it --rate, or leave --backoff out",
            ));
        }
        let backoff = u64::try_from(self.backoff.as_nanos()).unwrap_or(u64::MAX);
        let limit = |rate: Option<Rate>, backoff| rate.map_or(Ok(Limit::NONE), |rate| rate.limit(backoff));
        Ok(Rule {
            rate: limit(self.rate, backoff)?,
            total: limit(self.total_rate, 0)?,
            strangers: limit(self.strangers_rate, 0)?,
            mask_v4: self.source_prefix.mask_v4(),
            mask_v6: self.source_prefix.mask_v6(),
            action: self.action as u32,
            monitor: self.monitor.into(),
            max_open: self.max_open.unwrap_or(0),
            charge: self.charge as u32,
            hints: 0,
            reserved: 0,
        }
        .with_hints())
    }
}

impl ResetBudget {
    /// As a rule that no port has, so that it is judged like the others.
    ///
    /// # Errors
    ///
    /// A rate that the kernel cannot hold.
    pub fn entry(self) -> Result<Rule, Failure> {
        let prefix = SourcePrefix::default();
        Ok(Rule {
            rate: self.rate.limit(0)?,
            total: self.total_rate.limit(0)?,
            strangers: Limit::NONE,
            mask_v4: prefix.mask_v4(),
            mask_v6: prefix.mask_v6(),
            action: Action::Drop as u32,
            monitor: 0,
            max_open: 0,
            charge: Charge::Syn as u32,
            hints: 0,
            reserved: 0,
        }
        .with_hints()
        .coarsely())
    }
}
