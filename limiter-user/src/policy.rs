//! What was asked for, and the map entries that say it to the kernel. Pure: no map, no clock.

pub mod inbound;
pub mod numbers;
pub mod outbound;

use limiter_common::maps::{MAX_HOST_RULES, MAX_RULES, RESETS_RULE};
use limiter_common::outbound::FIRST_RULE;
use limiter_common::rule::{PortSet, Rule};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
pub use inbound::{InboundRule, ResetBudget};
pub use numbers::Numbers;
pub use outbound::{OutboundEntries, OutboundPolicy};

/// All rules.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// For ports.
    pub rules: Vec<InboundRule>,
    /// How many resets are sent; nothing where that is not limited.
    pub resets: Option<ResetBudget>,
    /// What holds for destinations.
    pub outbound: Option<OutboundPolicy>,
}

/// The numbers of all rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    /// Of rules for ports.
    pub inbound: Numbers,
    /// Of rules for destinations.
    pub outbound: Numbers,
}

/// The same for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// Which number each rule has.
    pub numbering: Numbering,
    /// By rule number; number 0 is the budget for resets.
    pub rules: Vec<(u32, Rule)>,
    /// Only elements in which a port has a rule, in ascending order.
    pub ports: Vec<(u32, PortSet)>,
    /// What holds for destinations.
    pub outbound: Option<OutboundEntries>,
}

impl Entries {
    /// Whether handshakes matter to a rule: they are counted, and remembered.
    pub fn watch_handshakes(&self) -> bool {
        self.rules.iter().any(|(_, rule)| rule.watches_handshakes())
    }

    /// The number of the rule for a port; 0 where there is none.
    pub fn rule_of(&self, port: u16) -> u32 {
        let found = self.ports.binary_search_by_key(&PortSet::index(port), |(index, _)| *index);
        found.map_or(0, |place| self.ports[place].1.rule(port))
    }
}

impl Policy {
    /// The map entries, where nothing has been attached before.
    ///
    /// # Errors
    ///
    /// Too many rules, two of one name, a rule without a limit, a rate that the kernel cannot hold, a port that two rules
    /// name.
    pub fn entries(&self) -> Result<Entries, Failure> {
        self.entries_after(&Numbering::default())
    }

    /// The map entries, where rules had these numbers before.
    ///
    /// # Errors
    ///
    /// As [`Self::entries`].
    pub fn entries_after(&self, before: &Numbering) -> Result<Entries, Failure> {
        if self.rules.len() >= MAX_RULES as usize {
            return Err(Failure::new(
                format!("{} rules are too many", self.rules.len()),
                format!("{} rules are the most; a rule may hold many ports", MAX_RULES - 1),
            ));
        }
        if let Some(outbound) = &self.outbound {
            outbound.check_lists()?;
        }
        let inbound =
            before.inbound.follow(self.rules.iter().map(|rule| rule.name.as_str()), 1..=MAX_RULES - 1)?;
        let hosts: Vec<_> =
            self.outbound.iter().flat_map(|policy| &policy.rules).map(outbound::name).collect();
        let names = hosts.iter().map(String::as_str);
        let numbering =
            Numbering { inbound, outbound: before.outbound.follow(names, FIRST_RULE..=MAX_HOST_RULES - 1)? };
        let outbound =
            self.outbound.as_ref().map(|policy| policy.entries(&numbering.outbound)).transpose()?;
        let mut entries = Entries { numbering, rules: Vec::new(), ports: Vec::new(), outbound };
        if let Some(budget) = self.resets.filter(|_| !self.rules.is_empty()) {
            entries.rules.push((RESETS_RULE, budget.entry()?));
        }
        let mut owners: Vec<Option<&InboundRule>> = vec![None; 1 << 16];
        let number = |rule: &InboundRule| entries.numbering.inbound.get(&rule.name).unwrap_or_default();
        for rule in &self.rules {
            entries.rules.push((number(rule), rule.entry()?));
            for port in rule.ports.iter() {
                if let Some(owner) = owners[usize::from(port)].replace(rule) {
                    return Err(Failure::new(
                        format!("port {port} is in rule '{}' and in rule '{}'", owner.name, rule.name),
                        "name each port in one rule only",
                    ));
                }
            }
        }
        for (index, ports) in (0..).zip(owners.chunks_exact(64)) {
            if ports.iter().any(Option::is_some) {
                let set = std::array::from_fn(|i| ports[i].map_or(0, number) as u8);
                entries.ports.push((index, PortSet(set)));
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use limiter_common::rule::{Action, Charge};

    use super::*;
    use crate::config::prefix::SourcePrefix;

    fn rule(name: &str, ports: &str) -> InboundRule {
        InboundRule {
            name: name.into(),
            ports: ports.parse().unwrap(),
            rate: Some("10/s".parse().unwrap()),
            total_rate: None,
            strangers_rate: None,
            charge: Charge::Syn,
            max_open: None,
            backoff: Duration::ZERO,
            source_prefix: SourcePrefix::default(),
            action: Action::Reset,
            monitor: false,
        }
    }

    #[test]
    fn every_port_gets_its_rules_number() {
        let policy =
            Policy { rules: vec![rule("web", "80,443"), rule("other", "8000-8127")], ..Policy::default() };
        let entries = policy.entries().unwrap();
        let number = |port: u16| {
            let (_, set) = entries.ports.iter().find(|(index, _)| *index == PortSet::index(port)).unwrap();
            set.rule(port)
        };
        assert_eq!([80, 81, 443, 8000, 8063, 8127].map(number), [1, 0, 1, 2, 2, 2]);
        assert_eq!([80, 81, 443, 1000, 8127].map(|port| entries.rule_of(port)), [1, 0, 1, 0, 2]);
        assert_eq!(entries.rules.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
        let after = Policy { rules: vec![rule("other", "8000"), rule("web", "80")], ..policy };
        let after = after.entries_after(&entries.numbering).unwrap();
        assert_eq!(
            [80, 443, 8000, 8001].map(|port| after.rule_of(port)),
            [1, 0, 2, 0],
            "each keeps its number"
        );
    }

    #[test]
    fn two_hundred_and_fifty_five_rules_are_the_most() {
        let many = |n: u32| {
            let rules = (1..=n).map(|i| rule(&i.to_string(), &i.to_string())).collect();
            Policy { rules, ..Policy::default() }
        };
        assert_eq!(many(255).entries().unwrap().rules.len(), 255);
        assert_eq!(many(256).entries().unwrap_err().cause, "256 rules are too many");
    }

    #[test]
    fn a_port_belongs_to_one_rule() {
        let policy = Policy { rules: vec![rule("web", "80"), rule("all", "1-100")], ..Policy::default() };
        assert_eq!(policy.entries().unwrap_err().cause, "port 80 is in rule 'web' and in rule 'all'");
    }

    #[test]
    fn a_rule_must_limit_something() {
        let mut idle = rule("idle", "80");
        idle.rate = None;
        assert_eq!(
            Policy { rules: vec![idle.clone()], ..Policy::default() }.entries().unwrap_err().cause,
            "rule 'idle' limits nothing"
        );
        idle.max_open = Some(15);
        let entries = Policy { rules: vec![idle.clone()], ..Policy::default() }.entries().unwrap();
        assert!(entries.watch_handshakes() && entries.rules[0].1.max_open == 15);
        idle.max_open = None;
        idle.total_rate = Some("1/s".parse().unwrap());
        assert!(Policy { rules: vec![idle.clone()], ..Policy::default() }.entries().is_ok());
        idle.backoff = Duration::from_secs(1);
        assert!(Policy { rules: vec![idle], ..Policy::default() }.entries().is_err());
    }
}
