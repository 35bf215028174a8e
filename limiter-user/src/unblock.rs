//! Gives who is refused a fresh start: what `unblock` does. No daemon is needed.

use std::net::IpAddr;

use limiter_common::gcra::Limit;
use limiter_common::open::Count;
use limiter_common::outbound::{Kind, Subject};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bpf::lists::{List, Lists};
use crate::bpf::outbound::{address, ip};
use crate::bpf::{Buckets, HostBuckets, OpenTables, Pins};
use crate::clock;
use crate::config::target::Target;
use crate::state::{HostRuleState, RuleState, State};
use crate::table;
use crate::why::Inquiry;

/// The answer; this is its JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Unblocked {
    /// What was asked for.
    pub target: String,
    /// Who has a whole burst again.
    pub freed: Vec<Freed>,
    /// What refuses it all the same, each with what to do about it.
    pub still: Vec<String>,
}

/// A source, a name or an address whose state was forgotten.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Freed {
    /// The prefix, name or address.
    pub subject: String,
    /// What its rule is called.
    pub rule: String,
    /// For how many milliseconds it would have been refused yet; 0 where it was not.
    pub refused_ms: u64,
}

impl Unblocked {
    /// Forgets what is held against a target: as a source of connections, and as a destination.
    ///
    /// # Errors
    ///
    /// A target that is neither a name nor an address; nothing attached.
    pub fn free(target: &str) -> anyhow::Result<Self> {
        let parsed = target.parse()?;
        let state = State::attached()?;
        let mut unblocked = Self { target: target.to_owned(), freed: Vec::new(), still: Vec::new() };
        if let Target::Address(ip) = parsed
            && !state.rules.is_empty()
        {
            unblocked.free_source(ip, &state.rules)?;
        }
        if let Some(outbound) = state.outbound {
            unblocked.free_destination(&parsed, &Inquiry::open(outbound)?)?;
        }
        Ok(unblocked)
    }

    fn free_source(&mut self, source: IpAddr, rules: &[RuleState]) -> anyhow::Result<()> {
        let pins = Pins::locate();
        let buckets = Buckets::pinned(&pins)?;
        let open = OpenTables::pinned(&pins)?.counts();
        let (now, address) = (clock::now(), address(source));
        for words in rules {
            let rule = buckets.rule(words.number)?;
            let prefix = address.masked(rule.mask(address.is_v6()));
            let length = if source.is_ipv4() { words.source_prefix.v4 } else { words.source_prefix.v6 };
            let place = buckets.place(words.number, &rule, &address);
            if let Some(held) = buckets.table().forget(place, now) {
                self.freed.push(Freed {
                    subject: format!("{}/{length}", ip(&prefix)),
                    rule: words.name.clone(),
                    refused_ms: refused(&rule.rate, held, now),
                });
            }
            let held = open.iter().find(|(key, _)| key.rule == words.number && key.source == prefix);
            if let (Some(most), Some((_, &word))) = (words.max_open, held)
                && Count::from_bits(word).open() >= most
            {
                let held = Count::from_bits(word).open();
                self.still.push(format!(
                    "rule {}: it holds {held} connections open, of {most}; the next one waits until one of them is closed",
                    words.name
                ));
            }
        }
        for listed in Lists::open(&pins)?.read(List::Deny) {
            if listed.until <= now || !listed.network.contains(source) {
                continue;
            }
            let rule = rules.iter().find(|rule| rule.number == listed.scope);
            let rule = rule.map(|rule| format!(" --rule {}", rule.name)).unwrap_or_default();
            let network = listed.network;
            self.still.push(format!(
                "it is denied; take it off the list with: limiterctl deny remove {network}{rule}"
            ));
        }
        Ok(())
    }

    fn free_destination(&mut self, target: &Target, inquiry: &Inquiry) -> anyhow::Result<()> {
        let subjects = match target {
            Target::Name(name) => vec![(name.clone(), Subject::name(inquiry.id(name)?))],
            Target::Address(ip) => inquiry.subjects(*ip)?.unwrap_or_default(),
        };
        let pins = Pins::locate();
        let numbers = subjects.iter().map(|(_, subject)| subject.rule);
        let buckets = HostBuckets::pinned(&inquiry.tables, numbers, &pins)?;
        let now = inquiry.now;
        for (text, subject) in subjects {
            let Some(rule) = buckets.rule(subject.rule) else { continue };
            let held = Kind::ALL.into_iter().filter_map(|kind| {
                let held = buckets.forget(rule, &subject, kind, now)?;
                Some(refused(rule.limit(kind), held, now))
            });
            if let Some(refused_ms) = held.max() {
                let called = inquiry.state.rule(subject.rule).map(HostRuleState::called).unwrap_or_default();
                let subject = if rule.shared == 0 { text } else { format!("all of {called}") };
                self.freed.push(Freed { subject, rule: called, refused_ms });
            }
        }
        Ok(())
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut lines = Vec::new();
        for Freed { subject, rule, refused_ms } in &self.freed {
            let was = if *refused_ms == 0 {
                "was not refused".into()
            } else {
                format!("was refused for {} yet", table::seconds(*refused_ms))
            };
            lines.push(format!("limiterctl: {subject}, rule {rule}: {was}; it has its whole burst again"));
        }
        lines.extend(self.still.iter().map(|still| format!("limiterctl: {}: {still}", self.target)));
        lines.join("\n")
    }
}

/// For how many milliseconds a limit would refuse one more yet.
const fn refused(limit: &Limit, held: limiter_common::gcra::State, now: u64) -> u64 {
    limit.retry_after(held, now).div_ceil(1_000_000)
}
