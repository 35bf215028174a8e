//! Names that were learned under other rules: each follows to the rule that lists it now.
//!
//! What names used up stays with the rule under which they did.

use std::collections::HashMap;

use anyhow::Context as _;
use aya::maps::MapError;
use limiter_common::key::Address;
use limiter_common::mapping::{NAMES, Names};
use limiter_common::name::NameId;
use limiter_common::outbound::{DEFAULT_RULE, FIRST_RULE};

use super::load::name_hash;
use super::outbound::{HostTables, text};
use crate::config::hostname::HostPattern;
use crate::policy::OutboundEntries;

impl HostTables {
    /// Moves the names of addresses, and what is counted for names, under the rules that these entries list them in.
    ///
    /// A name whose text is known no more can be found by an exact pattern, but not by a wildcard; it stays under its rule
    /// while that is there, and until it is resolved again. What the kernel learns about an address in the very moment in which
    /// its names are moved may have to be learned again.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn follow(&mut self, entries: &OutboundEntries) -> anyhow::Result<()> {
        let rules = self.rules_of_names(entries)?;
        let is_there = |rule| entries.rules.iter().any(|(number, _)| *number == rule) || rule == DEFAULT_RULE;
        let now = |id: NameId| {
            let rule = rules.get(&id.under(0).bits()).copied();
            id.under(rule.unwrap_or_else(|| if is_there(id.rule()) { id.rule() } else { DEFAULT_RULE }))
        };
        for (id, host) in self.hosts().collect::<Vec<_>>() {
            let new = now(id);
            if new != id {
                self.hosts.insert(new.bits(), host, 0).context("cannot move a name")?;
                gone(self.hosts.remove(&id.bits()))?;
            }
        }
        let moved = |names: &Names| ids(names).any(|(id, _)| now(id) != id);
        let addresses: Vec<_> = self.addresses().filter(|(_, names)| moved(names)).collect();
        for (address, _) in addresses {
            let [listed, unlisted] = self.names(&address)?;
            let all: Vec<_> = [&listed, &unlisted]
                .into_iter()
                .flatten()
                .flat_map(ids)
                .map(|(id, until)| (now(id), until))
                .collect();
            let part =
                |is_listed| collect(all.iter().filter(|(id, _)| (id.rule() >= FIRST_RULE) == is_listed));
            self.put_names(&address, part(true), part(false))?;
        }
        Ok(())
    }

    /// The rule of each name that is known by its text or by an exact pattern; the name as its id under rule 0.
    fn rules_of_names(&self, entries: &OutboundEntries) -> anyhow::Result<HashMap<u64, u32>> {
        let mut rules = HashMap::new();
        for (id, host) in self.hosts() {
            rules.insert(id.under(0).bits(), self.rule_of(&text(&host))?);
        }
        for (pattern, rule) in &entries.patterns {
            if let HostPattern::Exact(name) = pattern {
                rules.insert(NameId::new(0, name_hash(&self.settings.names, name)).bits(), *rule);
            }
        }
        Ok(rules)
    }

    /// First what is added, then what is taken away: in between an address is held to both.
    fn put_names(&mut self, address: &Address, listed: Names, unlisted: Names) -> anyhow::Result<()> {
        let is_empty = |names: &Names| names.ids == [0; NAMES];
        let cannot = "cannot move the names of an address";
        if !is_empty(&listed) {
            self.listed.insert(address, listed, 0).context(cannot)?;
        }
        if !is_empty(&unlisted) {
            self.unlisted.insert(address, unlisted, 0).context(cannot)?;
        }
        if is_empty(&listed) {
            gone(self.listed.remove(address))?;
        }
        if is_empty(&unlisted) {
            gone(self.unlisted.remove(address))?;
        }
        Ok(())
    }
}

fn ids(names: &Names) -> impl Iterator<Item = (NameId, u64)> {
    names.ids.into_iter().zip(names.until).filter_map(|(id, until)| Some((NameId::from_bits(id)?, until)))
}

/// As many as there is room for.
fn collect<'a>(ids: impl Iterator<Item = &'a (NameId, u64)>) -> Names {
    let mut names = Names::default();
    for (place, (id, until)) in ids.take(NAMES).enumerate() {
        (names.ids[place], names.until[place]) = (id.bits(), *until);
    }
    names
}

fn gone(result: Result<(), MapError>) -> anyhow::Result<()> {
    match result {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) => Err(error).context("cannot remove what was moved"),
    }
}
