//! Why a name or an address is refused, by which limit, since when and until when.

mod inquiry;

use std::net::IpAddr;

use comfy_table::Table;
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::target::Target;
use crate::table;
pub use inquiry::Inquiry;

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
