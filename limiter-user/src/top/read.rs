//! Reads what is shown: counters each second, whole tables as seldom as that they take no more than their share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use limiter_common::key::Address;
use limiter_common::name::NameId;
use limiter_common::outbound::{HostRule, Kind, Subject};
use limiter_common::rule::Rule;

use super::model::per_second;
use super::rows::{Cell, Row};
use super::sample::{Hidden, Lists, Sample};
use crate::bpf::outbound::{address, ip};
use crate::bpf::{Buckets, HostBuckets, HostTables, Pins};
use crate::config::ports::Ports;
use crate::sockets::Sockets;
use crate::state::{HostRuleState, Lock, OutboundState, RuleState, State};
use crate::status::Status;
use crate::{clock, hosts};

/// To go through tables may take one part in so many of the time.
const SHARE: u32 = 100;

/// Reads.
pub struct Reader {
    /// When tables may be gone through again.
    lists_from: Instant,
    /// What names had allowed and refused, and when that was.
    names: HashMap<NameId, (u64, u64)>,
    names_at: u64,
}

impl Reader {
    /// Who has read nothing yet.
    pub fn new() -> Self {
        Self { lists_from: Instant::now(), names: HashMap::new(), names_at: 0 }
    }

    /// Reads counters, and tables where it is time for them. No daemon is needed.
    ///
    /// # Errors
    ///
    /// As the kernel and the file system say.
    pub fn read(&mut self) -> anyhow::Result<Sample> {
        let pins = Pins::locate();
        let daemon = Lock::holder()?.map(|holder| holder.pid);
        let Some(state) = Status::state(&pins, daemon)? else {
            return Ok(Sample {
                now: clock::now(),
                status: Status::off(daemon),
                lists: Some(Lists::default()),
            });
        };
        let began = Instant::now();
        let lists = (began >= self.lists_from).then(|| self.lists(&state, &pins)).transpose()?;
        let status = Status::counters(state, &pins, daemon)?;
        Ok(Sample { now: clock::now(), status, lists })
    }

    /// To be told how long it took to go through tables, and to show what is in them.
    pub fn took(&mut self, time: Duration) {
        self.lists_from = Instant::now() + time * SHARE;
    }

    fn lists(&mut self, state: &State, pins: &Pins) -> anyhow::Result<Lists> {
        let mut lists = Lists { at: clock::now(), ..Lists::default() };
        if !state.rules.is_empty() {
            sources(&state.rules, pins, &mut lists)?;
        }
        if let Some(outbound) = &state.outbound {
            self.hosts(outbound, pins, &mut lists)?;
        }
        Ok(lists)
    }

    fn hosts(&mut self, state: &OutboundState, pins: &Pins, lists: &mut Lists) -> anyhow::Result<()> {
        let tables = HostTables::pinned(pins)?;
        let buckets = HostBuckets::pinned(&tables, state.rules.iter().map(|rule| rule.number), pins)?;
        let now = lists.at;
        let mut hosts = hosts::all(state, &buckets, now, pins)?;
        hosts.sort_unstable_by(|a, b| (b.refused, b.allowed, &a.name).cmp(&(a.refused, a.allowed, &b.name)));
        let time = now - self.names_at;
        let mut names = HashMap::with_capacity(hosts.len());
        let mut listed = 0;
        for host in hosts {
            let counts = (host.allowed, host.refused);
            names.insert(host.id, counts);
            // A name that was not there before had nothing; with the first look nobody knows since when.
            let before = self.names.get(&host.id).copied().unwrap_or_default();
            let rate = |count: u64, before: u64| match self.names_at {
                0 => Cell::Nothing,
                _ => Cell::Rate(per_second(count.saturating_sub(before), time)),
            };
            let until = Cell::Until(now + host.retry_after_ms * 1_000_000, host.backs_off);
            if host.backs_off && buckets.rule(host.id.rule()).is_some_and(|rule| rule.shared == 0) {
                listed += 1;
                lists.backoff.push(waits(host.name.clone(), &host.rule, "out", until.clone()));
            }
            lists.hosts.push(vec![
                Cell::Text(host.name),
                Cell::Text(host.rule),
                rate(host.allowed, before.0),
                rate(host.refused, before.1),
                Cell::Count(host.allowed),
                Cell::Count(host.refused),
                until,
            ]);
        }
        (self.names, self.names_at) = (names, now);
        lists.backoff.extend(state.rules.iter().filter_map(|words| {
            let rule = buckets.rule(words.number)?;
            shared_backoff(words, rule, &buckets, now)
        }));
        let (all, longest) = buckets.own().in_backoff(now);
        lists.other_destinations = Hidden::beside(all, listed, now + longest);
        Ok(())
    }
}

/// What all that a rule lists waits for together.
fn shared_backoff(words: &HostRuleState, rule: &HostRule, buckets: &HostBuckets, now: u64) -> Option<Row> {
    if rule.shared == 0 {
        return None;
    }
    let anyone = Subject { rule: words.number, key: [0; 2] };
    let (limit, held) = (rule.limit(Kind::Rate), buckets.held(rule, &anyone, Kind::Rate, now)?);
    let until = Cell::Until(now + limit.retry_after(held, now), true);
    let called = words.called();
    limit.is_backing_off(held, now).then(|| waits(format!("all of {called}"), &called, "out", until))
}

/// Sources whose address is known: those that hold a connection open. A bucket has no address in it.
fn sources(rules: &[RuleState], pins: &Pins, lists: &mut Lists) -> anyhow::Result<()> {
    let buckets = Buckets::pinned(pins)?;
    let now = lists.at;
    let kernel: Vec<Rule> =
        rules.iter().map(|rule| buckets.rule(rule.number)).collect::<anyhow::Result<_>>()?;
    let mut listed = 0;
    for ((place, prefix), open) in open_by_source(rules, &kernel)? {
        let (words, rule) = (&rules[place], &kernel[place]);
        let ip = ip(&prefix);
        let length = match ip {
            IpAddr::V4(_) => words.source_prefix.v4,
            IpAddr::V6(_) => words.source_prefix.v6,
        };
        let source = format!("{ip}/{length}");
        let held = buckets.table().held(buckets.place(words.number, rule, &prefix), now);
        let (used, state) = match held.filter(|_| !rule.rate.is_none()) {
            None if rule.rate.is_none() => (Cell::Nothing, Cell::Nothing),
            None => (Cell::Percent(0), Cell::Until(0, false)),
            Some(held) => {
                let backs_off = rule.rate.is_backing_off(held, now);
                let whole = (rule.rate.tolerance + rule.rate.emission_interval).max(1);
                let used = (held.distance(now).max(0) as u64).min(whole) * 100 / whole;
                let until = Cell::Until(now + rule.rate.retry_after(held, now), backs_off);
                if backs_off {
                    listed += 1;
                    lists.backoff.push(waits(source.clone(), &words.name, "in", until.clone()));
                }
                (Cell::Percent(if backs_off { 100 } else { used }), until)
            }
        };
        lists.sources.push(vec![
            Cell::Text(source),
            Cell::Text(words.name.clone()),
            Cell::Count(open),
            words.max_open.map_or(Cell::Nothing, |most| Cell::Count(most.into())),
            used,
            state,
        ]);
    }
    // The order of a hash is another one each time.
    lists.sources.sort_unstable_by(|a, b| b[2].compare(&a[2]).then_with(|| a[0].compare(&b[0])));
    let (all, longest) = buckets.table().in_backoff(now);
    lists.other_sources = Hidden::beside(all, listed, now + longest);
    Ok(())
}

/// Connections to each rule, by its place, from each source.
fn open_by_source(rules: &[RuleState], kernel: &[Rule]) -> anyhow::Result<HashMap<(usize, Address), u64>> {
    let mut rule_of = vec![None; usize::from(u16::MAX) + 1];
    for (place, rule) in rules.iter().enumerate() {
        let ports: Ports = rule.ports.join(",").parse()?;
        ports.iter().for_each(|port| rule_of[usize::from(port)] = Some(place));
    }
    let sockets = Sockets::read()?;
    let mut open = HashMap::new();
    for (port, remote) in &sockets.connections {
        // A connection from here may have any port: what listens is what is limited.
        if let Some(place) = rule_of[usize::from(*port)]
            && sockets.listening.contains(port)
        {
            let address = address(*remote);
            let prefix = address.masked(kernel[place].mask(address.is_v6()));
            *open.entry((place, prefix)).or_default() += 1;
        }
    }
    Ok(open)
}

fn waits(who: String, rule: &str, way: &str, until: Cell) -> Row {
    vec![Cell::Text(who), Cell::Text(rule.to_owned()), Cell::Text(way.to_owned()), until]
}
