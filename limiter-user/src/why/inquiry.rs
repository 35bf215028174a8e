//! Asks the maps what a destination is held to.

use std::net::IpAddr;

use limiter_common::gcra::State as Gcra;
use limiter_common::name::NameId;
use limiter_common::outbound::{DEFAULT_RULE, Held as HeldBy, Kind, PER_IP_RULE, Settings, Subject};
use limiter_common::verdict::Reason;

use super::{Held, Shared, Why};
use crate::bpf::outbound::{address, ip, text};
use crate::bpf::{HostTables, Pins, name_hash};
use crate::clock;
use crate::state::{HostRuleState, OutboundState};
use crate::table;

/// Reads what is needed for an answer.
pub struct Inquiry {
    /// The maps.
    pub tables: HostTables,
    /// The rules in words.
    pub state: OutboundState,
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
}

impl Inquiry {
    /// Of what is attached.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn open(state: OutboundState) -> anyhow::Result<Self> {
        Ok(Self { tables: HostTables::pinned(&Pins::locate())?, state, now: clock::now() })
    }

    /// The same, as far as somebody has attached something.
    ///
    /// # Errors
    ///
    /// Nothing attached.
    pub fn of_what_is_attached() -> anyhow::Result<Self> {
        Self::open(OutboundState::attached()?)
    }

    /// Who is charged with a connection to a name.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn id(&self, name: &str) -> anyhow::Result<NameId> {
        Ok(NameId::new(self.tables.rule_of(name)?, name_hash(&self.tables.settings.names, name)))
    }

    /// Who is charged with a connection to an address, in words and as in the maps; `None` where nobody is.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn subjects(&self, ip: IpAddr) -> anyhow::Result<Option<Vec<(String, Subject)>>> {
        let address = address(ip);
        let [listed, unlisted] = self.tables.names(&address)?;
        let network = self.tables.network(&address)?;
        let Some(HeldBy { names, rule }) = HeldBy::new(listed, network, || unlisted) else {
            return Ok(None);
        };
        let mut subjects = Vec::new();
        for id in names.iter().flat_map(|names| names.ids).filter_map(NameId::from_bits) {
            subjects.push((self.text(id)?, Subject::name(id)));
        }
        let per_ip = self.tables.settings.has(Settings::PER_IP).then_some(PER_IP_RULE);
        let rules = rule.into_iter().chain(per_ip);
        subjects.extend(rules.map(|rule| (ip.to_string(), Subject::address(rule, &address))));
        Ok(Some(subjects))
    }

    /// Why a name is refused, of which these addresses are known.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn name(&self, name: String, addresses: Vec<Shared>) -> anyhow::Result<Why> {
        let mut limits = Vec::new();
        self.hold(&mut limits, &name, &Subject::name(self.id(&name)?))?;
        Ok(self.conclude(name, limits, addresses, false))
    }

    /// The addresses that are known for a name; all that are known at all are looked through.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn addresses(&self, name: &str) -> anyhow::Result<Vec<Shared>> {
        let id = self.id(name)?;
        let mut addresses: Vec<_> = self
            .tables
            .addresses()
            .filter(|(_, names)| names.ids.contains(&id.bits()))
            .map(|(address, _)| ip(&address))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.into_iter().map(|ip| self.shared(ip)).collect()
    }

    /// Why an address is refused.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn address(&self, ip: IpAddr) -> anyhow::Result<Why> {
        let Some(subjects) = self.subjects(ip)? else {
            return Ok(self.conclude(ip.to_string(), Vec::new(), Vec::new(), true));
        };
        let mut limits = Vec::new();
        for (text, subject) in &subjects {
            self.hold(&mut limits, text, subject)?;
        }
        Ok(self.conclude(ip.to_string(), limits, vec![self.shared(ip)?], false))
    }

    fn conclude(&self, target: String, mut limits: Vec<Held>, addresses: Vec<Shared>, exempt: bool) -> Why {
        // What is refused first, and of that what lasts longest.
        limits.sort_by_key(|held| (held.refused.is_none(), u64::MAX - held.retry_after_ms));
        let refusing = limits.iter().filter(|held| held.refused.is_some());
        let retry_after_ms = refusing.map(|held| held.retry_after_ms).max().unwrap_or(0);
        let refused = limits.iter().any(|held| held.refused.is_some());
        let monitor = self.state.monitor;
        Why { target, refused, monitor, retry_after_ms, exempt, limits, addresses }
    }

    /// Adds what a subject is held to.
    fn hold(&self, limits: &mut Vec<Held>, subject: &str, who: &Subject) -> anyhow::Result<()> {
        let rule = self.tables.rule(who.rule)?;
        let words = self.state.rule(who.rule);
        for kind in Kind::ALL {
            let Some(limit) = words.and_then(|words| words.limit(kind)) else { continue };
            let state = self.tables.state(&rule, who, kind, self.now)?.unwrap_or_default();
            // The back-off of all limits lies with the rate.
            let rate = rule.limit(Kind::Rate);
            let pause = self.tables.state(&rule, who, Kind::Rate, self.now)?.unwrap_or_default();
            let pause = Some(pause).filter(|pause| rate.is_backing_off(*pause, self.now));
            let retry = match pause {
                Some(pause) => rate.retry_after(pause, self.now),
                None if state == Gcra::default() => 0,
                None => rule.limit(kind).retry_after(state, self.now),
            };
            let reason = if pause.is_some() { Reason::Backoff } else { kind.reason(who.rule) };
            limits.push(Held {
                subject: subject.to_owned(),
                rule: words.map(HostRuleState::called).unwrap_or_default(),
                kind: kind.reason(DEFAULT_RULE).as_str(),
                limit: limit.to_owned(),
                refused: (retry > 0).then_some(reason.as_str()),
                retry_after_ms: retry.div_ceil(1_000_000),
                since: pause.map(|_| table::time(retry as i64 - rate.backoff as i64)),
                until: (retry > 0).then(|| table::time(retry as i64)),
            });
        }
        Ok(())
    }

    fn shared(&self, ip: IpAddr) -> anyhow::Result<Shared> {
        let names = self.tables.names(&address(ip))?.into_iter().flatten();
        let ids = names.flat_map(|names| names.ids).filter_map(NameId::from_bits);
        Ok(Shared { address: ip, names: ids.map(|id| self.text(id)).collect::<Result<_, _>>()? })
    }

    fn text(&self, id: NameId) -> anyhow::Result<String> {
        Ok(match self.tables.host(id)? {
            Some(host) => text(&host),
            None => format!("#{:012x}", id.bits() & 0xffff_ffff_ffff),
        })
    }
}
