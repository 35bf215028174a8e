//! What one process leaves for the next under `/run/limiterctl`: who attached, and what.
//!
//! The counters are in pinned maps, the names and words that go with them are here. Both vanish at a reboot.

mod attached;
mod difference;
mod file;
mod lock;
mod proof;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use limiter_common::outbound::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bpf::XdpMode;
use crate::config::ports::Ports;
use crate::config::prefix::SourcePrefix;
use crate::policy::Numbering;
pub use difference::difference;
pub use file::let_through;
pub use lock::{Holder, Lock};
pub use proof::Proof;

/// What uses up a rate, in words.
pub const HANDSHAKE: &str = "handshake";

const DIRECTORY: &str = "/run/limiterctl";

/// What is attached, without its counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where the program for interfaces is.
    pub interfaces: Vec<AttachedInterface>,
    /// In the order in which they were given.
    pub rules: Vec<RuleState>,
    /// The numbers that rules have, and had.
    #[serde(default)]
    pub numbering: Numbering,
    /// What holds for destinations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<OutboundState>,
    /// The prefixes that were listed in the configuration.
    #[serde(default)]
    pub lists: ListsState,
    /// Where all of it is to hold.
    #[serde(default)]
    pub wanted: Wanted,
    /// What of that is not there, or not attached.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// The group that may ask why a destination is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_group: Option<String>,
    /// When all of it is taken off, unless somebody confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detaches_at: Option<String>,
    /// That all of it holds, as it was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Interfaces and cgroups as they are written in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Names and patterns.
    pub interfaces: Vec<String>,
    /// Paths and units.
    pub cgroups: Vec<String>,
}

/// An interface or a cgroup that will be limited as soon as that can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// `interface` or `cgroup`.
    pub kind: Cow<'static, str>,
    /// As it is written in the configuration, or as the interface is called.
    pub name: String,
    /// What it lacks.
    pub why: String,
}

/// When something was attached that came, or came back, while the daemon ran.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Again {
    /// `2026-01-31T12:00:00.123Z`.
    pub attached_at: String,
    /// For how many milliseconds it was there and not limited, the begun one included; where nobody knows, the most.
    pub gap_ms: u64,
}

/// Prefixes that hold for every rule, for as long as the configuration does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListsState {
    /// Those that pass.
    pub allow: Vec<String>,
    /// Those that are refused.
    pub deny: Vec<String>,
}

/// Limits on destinations in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundState {
    /// Whose processes they hold for.
    pub cgroups: Vec<AttachedCgroup>,
    /// The rules.
    pub rules: Vec<HostRuleState>,
    /// What a refused call gets: `EDQUOT`.
    pub errno: String,
    /// Whether refusals are only counted.
    pub monitor: bool,
}

/// A cgroup that the programs were put on.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct AttachedCgroup {
    /// Its path below the mount of cgroup v2.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its number, which a new cgroup of the same name does not have.
    pub id: u64,
    /// Since when, where it was not there from the beginning.
    #[serde(flatten)]
    pub again: Option<Again>,
}

/// A rule for destinations in words.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct HostRuleState {
    /// Its number in the maps.
    pub number: u32,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it lists: `google.com`, `*.google.com`, `192.0.2.0/24`; `default` or `per-ip` where it lists nothing.
    pub hosts: Vec<String>,
    /// `20/second burst 20`.
    pub rate: Option<String>,
    /// DNS queries.
    pub lookups: Option<String>,
    /// Packets sent.
    pub packets: Option<String>,
    /// Bytes sent.
    pub bytes: Option<String>,
    /// Milliseconds; 0 for none.
    pub backoff_ms: u64,
    /// Whether all that it lists shares one state.
    pub shared: bool,
}

impl OutboundState {
    /// The rule with this number.
    pub fn rule(&self, number: u32) -> Option<&HostRuleState> {
        self.rules.iter().find(|rule| rule.number == number)
    }
}

impl HostRuleState {
    /// What it is called: by its name, or by what it lists.
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.hosts.join(","))
    }

    /// The limit on something, as written.
    pub fn limit(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Rate => &self.rate,
            Kind::Lookups => &self.lookups,
            Kind::Packets => &self.packets,
            Kind::Bytes => &self.bytes,
        }
        .as_deref()
    }
}

/// An interface that the program was put on.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct AttachedInterface {
    /// Its name then.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// How the program runs there.
    pub xdp_mode: XdpMode,
    /// Why not native, where that was welcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_generic: Option<String>,
    /// Since when, where it was not there from the beginning.
    #[serde(flatten)]
    pub again: Option<Again>,
}

/// A rule in words.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct RuleState {
    /// Its name.
    pub name: String,
    /// Its number in the maps.
    pub number: u32,
    /// Ports and ranges.
    pub ports: Vec<String>,
    /// `900/minute burst 60`.
    pub rate: Option<String>,
    /// The same for all sources together.
    pub total_rate: Option<String>,
    /// The same for all sources together that have not completed a handshake lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strangers_rate: Option<String>,
    /// `syn` or `handshake`: what uses up the rate.
    pub charge: String,
    /// Connections that one source may hold open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_open: Option<u32>,
    /// Milliseconds; 0 for none.
    pub backoff_ms: u64,
    /// What makes a source.
    pub source_prefix: SourcePrefix,
    /// `reset` or `drop`.
    pub action: String,
    /// Whether refusals are only counted.
    pub monitor: bool,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting for {} {}: {}", self.kind, self.name, self.why)
    }
}

impl Again {
    /// `attached again 12s ago, after a gap of 34 ms`, on a line of its own below what it is about.
    pub fn line(&self) -> String {
        let at = humantime::parse_rfc3339(&self.attached_at).ok();
        let age = at.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
        let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
        format!("  attached again {age} ago, after a gap of {} ms", self.gap_ms)
    }
}

impl RuleState {
    /// Whether handshakes to its ports are counted and remembered.
    pub fn watches_handshakes(&self) -> bool {
        self.max_open.is_some() || self.strangers_rate.is_some() || self.charge == HANDSHAKE
    }

    /// Whether it holds for this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.join(",").parse::<Ports>().is_ok_and(|ports| ports.iter().any(|own| own == port))
    }
}

impl State {
    /// The rule for ports with this number.
    pub fn rule(&self, number: u32) -> Option<&RuleState> {
        self.rules.iter().find(|rule| rule.number == number)
    }

    /// The interface with this number.
    pub fn interface(&self, index: u32) -> Option<&AttachedInterface> {
        self.interfaces.iter().find(|interface| interface.index == index)
    }
}
