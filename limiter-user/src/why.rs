//! Why a name or an address is refused, by which limit, since when and until when.

use std::net::IpAddr;
use std::str::FromStr;

use comfy_table::Table;
use limiter_common::gcra::State as Gcra;
use limiter_common::name::NameId;
use limiter_common::outbound::{DEFAULT_RULE, Held as HeldBy, Kind, PER_IP_RULE, Settings, Subject};
use limiter_common::verdict::Reason;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bpf::outbound::{address, ip, text};
use crate::bpf::{HostTables, Pins, name_hash};
use crate::clock;
use crate::config::hostname::HostPattern;
use crate::failure::Failure;
use crate::state::OutboundState;
use crate::table;

/// The answer; this is its JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Why {
    /// What was asked about.
    pub target: String,
    /// Whether a connection would be refused now.
    pub refused: bool,
    /// Whether refusals are only counted.
    pub monitor: bool,
    /// Milliseconds until a connection is admitted; 0 where one is now.
    pub retry_after_ms: u64,
    /// Nothing is held for it.
    pub exempt: bool,
    /// The limits that a connection there would be held to, the strictest first.
    pub limits: Vec<Held>,
    /// The addresses that are known, each with all names that share it. Several names are ambiguous: a connection
    /// is charged to each of them.
    pub addresses: Vec<Shared>,
}

/// A limit, and where it stands.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Held {
    /// The name or address that is charged.
    pub subject: String,
    /// What its rule lists, or `default` or `per-ip`.
    pub rule: String,
    /// What is limited: `rate`, `lookups`, `packets` or `bytes`.
    pub kind: &'static str,
    /// The limit as written.
    pub limit: String,
    /// Whether it refuses now, and why.
    pub refused: Option<&'static str>,
    /// Milliseconds until it admits something.
    pub retry_after_ms: u64,
    /// When its back-off began.
    pub since: Option<String>,
    /// When it ends.
    pub until: Option<String>,
}

/// An address and its names.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Shared {
    /// The address.
    pub address: IpAddr,
    /// The names that a connection there is charged to.
    pub names: Vec<String>,
}

/// Reads what is needed for an answer.
pub struct Inquiry {
    /// The maps.
    pub tables: HostTables,
    /// The rules in words.
    pub state: OutboundState,
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub now: u64,
}

/// What can be asked about.
pub enum Target {
    /// A name, in lower case.
    Name(String),
    /// An address; what was IPv4-mapped is IPv4.
    Address(IpAddr),
}

impl FromStr for Target {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match (text.parse()?, text.parse::<IpAddr>()) {
            (HostPattern::Exact(name), _) => Ok(Self::Name(name)),
            (HostPattern::Network(_), Ok(address)) => Ok(Self::Address(address.to_canonical())),
            _ => Err(Failure::new(
                format!("'{text}' is neither one name nor one address"),
                "give a name (google.com) or an address (192.0.2.1)",
            )),
        }
    }
}

impl Why {
    /// Asks the maps; no daemon is needed.
    ///
    /// # Errors
    ///
    /// A target that is neither a name nor an address; nothing attached.
    pub fn ask(target: &str) -> anyhow::Result<Self> {
        match (target.parse()?, Inquiry::of_what_is_attached()?) {
            (Target::Name(name), inquiry) => {
                let addresses = inquiry.addresses(&name)?;
                inquiry.name(name, addresses)
            }
            (Target::Address(ip), inquiry) => inquiry.address(ip),
        }
    }

    /// The same without the addresses of a name: to find these, all that are known have to be looked through.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub fn briefly(target: &str) -> anyhow::Result<Self> {
        match (target.parse()?, Inquiry::of_what_is_attached()?) {
            (Target::Name(name), inquiry) => inquiry.name(name, Vec::new()),
            (Target::Address(ip), inquiry) => inquiry.address(ip),
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut lines = vec![self.headline()];
        if !self.limits.is_empty() {
            lines.push(String::new());
            lines.push(self.limits_table().to_string());
        }
        for Shared { address, names } in &self.addresses {
            match names.as_slice() {
                [] => lines.push(format!("{address} has no name")),
                [name] => lines.push(format!("{address} is {name}")),
                _ => lines.push(format!("{address} is shared: {}", names.join(", "))),
            }
        }
        lines.join("\n")
    }

    fn headline(&self) -> String {
        let target = &self.target;
        if self.exempt {
            return format!("{target}: exempt, nothing is held");
        }
        let Some(first) = self.limits.first().filter(|held| held.refused.is_some()) else {
            return format!("{target}: not refused");
        };
        let wait = table::seconds(self.retry_after_ms);
        let done = if self.monitor { "would be refused (monitor mode)" } else { "refused" };
        format!(
            "{target}: {done}; over {} {} of rule {}; try again in {wait}",
            first.kind, first.limit, first.rule
        )
    }

    fn limits_table(&self) -> Table {
        let mut table = table::new(["charged", "rule", "limit", "state", "until"]);
        for held in &self.limits {
            let kind = if held.kind == "rate" { String::new() } else { format!("{} ", held.kind) };
            table.add_row([
                held.subject.clone(),
                held.rule.clone(),
                format!("{kind}{}", held.limit),
                held.refused.unwrap_or("ok").to_owned(),
                held.until.as_deref().map(table::whole_seconds).unwrap_or_default(),
            ]);
        }
        table
    }
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

    fn of_what_is_attached() -> anyhow::Result<Self> {
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

    fn name(&self, name: String, addresses: Vec<Shared>) -> anyhow::Result<Why> {
        let mut limits = Vec::new();
        self.hold(&mut limits, &name, &Subject::name(self.id(&name)?))?;
        Ok(self.conclude(name, limits, addresses, false))
    }

    /// Those that are known for a name.
    fn addresses(&self, name: &str) -> anyhow::Result<Vec<Shared>> {
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

    fn address(&self, ip: IpAddr) -> anyhow::Result<Why> {
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
                rule: words.map(crate::state::HostRuleState::called).unwrap_or_default(),
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
