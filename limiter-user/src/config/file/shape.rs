//! The file as it is written: a struct a table. Its JSON Schema is made from this, and each comment is shown by editors.
//!
//! Text is only read as text here; what it means is found out by `inbound.rs` and `outbound.rs`.

use limiter_common::maps::DEFAULT_SOURCES;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at::{At, Other, Table, TextOr};

/// Limits on connections: how many a service gets, and how many it makes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "limiterctl.toml")]
pub struct File {
    /// Limits on who connects to this machine, by source address.
    pub inbound: Option<At<Table<Inbound>>>,
    /// Limits on what the processes of a cgroup connect to, by destination name.
    pub outbound: Option<At<Table<Outbound>>>,
    /// Who may ask why a destination is refused, and for how long.
    pub app: Option<At<Table<App>>>,
}

/// Limits on who connects to this machine, by source address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// Network interfaces by name, or by pattern: "eth*". All of them are judged together.
    #[schemars(length(min = 1))]
    pub interfaces: At<Vec<At<String>>>,
    /// Where the program runs: native is in the driver, generic in the kernel's stack, auto the best there is.
    #[serde(default = "auto")]
    #[schemars(extend("enum" = ["auto", "native", "generic"]))]
    pub xdp_mode: At<String>,
    /// How many sources are told apart at a time; 8 bytes of kernel memory for each.
    #[serde(default = "max_sources")]
    #[schemars(range(min = 8, max = 17_179_869_184_i64))]
    pub max_sources: At<i64>,
    /// Networks and addresses that no limit looks at. Wins over deny.
    #[serde(default)]
    pub allow: Vec<At<String>>,
    /// Networks and addresses that are refused, on the ports of the rules.
    #[serde(default)]
    pub deny: Vec<At<String>>,
    /// How many resets are sent; beyond that a refused connection meets silence.
    #[serde(default)]
    pub reset: Table<Reset>,
    /// A limit on some ports; the header is [[inbound.rule]].
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub rule: Vec<At<Table<InboundRule>>>,
}

/// How many resets are sent; beyond that a refused connection meets silence.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// To one source.
    #[serde(default = "reset_rate")]
    pub rate: At<String>,
    /// To all sources together.
    #[serde(default = "reset_total_rate")]
    pub total_rate: At<String>,
}

/// A limit on some ports.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InboundRule {
    /// How status, list and counters call it.
    pub name: At<String>,
    /// Ports and ranges that it holds for, together: `["80", "443", "8000-8100"]`.
    #[schemars(length(min = 1))]
    pub ports: At<Vec<At<TextOr<i64>>>>,
    /// New connections of one source: "900/min burst 60". Without a burst, what a second allows (at least 5).
    pub rate: Option<At<String>>,
    /// New connections of all sources together.
    pub total_rate: Option<At<String>>,
    /// New connections of all sources together that have not completed a handshake within the last hour.
    pub strangers_rate: Option<At<String>>,
    /// What uses up the rate: a SYN, or a handshake that was completed, which nobody can forge.
    #[serde(default = "syn")]
    #[schemars(extend("enum" = ["syn", "handshake"]))]
    pub charge: At<String>,
    /// Connections that one source may hold open at a time.
    #[schemars(range(min = 1, max = 65_535))]
    pub max_open: Option<At<i64>>,
    /// How long a source is refused once it is over its rate: "60s", "5min".
    pub backoff: Option<At<String>>,
    /// What a refused connection gets: a TCP reset, or silence (drop).
    #[serde(default = "reset")]
    #[schemars(extend("enum" = ["reset", "drop"]))]
    pub action: At<String>,
    /// How many bits of an address make one source, for IPv4 and IPv6: "32,64", or { v4 = 32, v6 = 64 }.
    #[serde(default = "source_prefix")]
    pub source_prefix: At<TextOr<Prefix>>,
    /// Whether refusals are only counted, and nothing is refused.
    #[serde(default = "no")]
    pub monitor: At<bool>,
}

/// How many bits of an address make one source.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "text in quotes, or a table")]
pub struct Prefix {
    /// Of an IPv4 address.
    #[serde(default = "bits_v4")]
    #[schemars(range(min = 1, max = 32))]
    pub v4: At<i64>,
    /// Of an IPv6 address.
    #[serde(default = "bits_v6")]
    #[schemars(range(min = 1, max = 128))]
    pub v6: At<i64>,
}

/// Limits on what the processes of a cgroup connect to, by destination name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// Whose connections: systemd units, or paths in cgroup v2.
    #[schemars(length(min = 1))]
    pub cgroups: At<Vec<At<String>>>,
    /// For each name that no rule lists, and each address without a name: "10/s burst 10", or a table.
    pub default: Option<At<TextOr<Limits>>>,
    /// New connections to each address besides, whatever its names.
    pub per_ip: Option<At<String>>,
    /// How long a destination is refused that went over a limit, where its rule says nothing else.
    pub backoff: Option<At<String>>,
    /// The error that a refused `connect()` gets.
    #[serde(default = "edquot")]
    #[schemars(extend("enum" = ["EDQUOT", "EPERM", "EACCES", "ECONNREFUSED", "EHOSTUNREACH"]))]
    pub errno: At<String>,
    /// Networks that are never limited, unless a rule lists them. Loopback and the name servers are not either.
    #[serde(default)]
    pub exempt: Vec<At<String>>,
    /// Whether refusals are only counted, and nothing is refused.
    #[serde(default = "no")]
    pub monitor: At<bool>,
    /// A limit on some destinations; the header is [[outbound.rule]].
    #[serde(default)]
    pub rule: Vec<At<Table<HostRule>>>,
}

/// What a destination is held to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "text in quotes, or a table")]
pub struct Limits {
    /// New connections: "20/s burst 20".
    pub rate: Option<At<String>>,
    /// DNS queries for the name: "50/s".
    pub lookups: Option<At<String>>,
    /// Packets sent: "1000/s".
    pub packets: Option<At<String>>,
    /// Bytes sent: "5 mbytes/second burst 1 mbytes".
    pub bytes: Option<At<String>>,
    /// How long everything to it is refused once it is over one of these: "15s".
    pub backoff: Option<At<String>>,
}

/// A limit on some destinations.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostRule {
    /// How status, list and counters call it.
    pub name: At<String>,
    /// Names (google.com), all names below one (*.google.com), networks and addresses.
    #[schemars(length(min = 1))]
    pub hosts: At<Vec<At<String>>>,
    /// New connections: "20/s burst 20".
    pub rate: Option<At<String>>,
    /// DNS queries for the names: "50/s".
    pub lookups: Option<At<String>>,
    /// Packets sent: "1000/s".
    pub packets: Option<At<String>>,
    /// Bytes sent: "5 mbytes/second burst 1 mbytes".
    pub bytes: Option<At<String>>,
    /// How long everything to it is refused once it is over one of these, in place of outbound.backoff: "15s".
    pub backoff: Option<At<String>>,
    /// Who has a count of its own: all that the rule lists together (rule), or each name and address (host).
    #[serde(default = "rule")]
    #[schemars(extend("enum" = ["rule", "host"]))]
    pub share: At<String>,
}

/// Who may ask why a destination is refused, and for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The group that may ask on /run/limiterctl/app.sock, besides root.
    pub group: At<String>,
}

impl HostRule {
    /// What its hosts are held to.
    pub fn limits(&self) -> Limits {
        let Self { rate, lookups, packets, bytes, backoff, .. } = self;
        Limits {
            rate: rate.clone(),
            lookups: lookups.clone(),
            packets: packets.clone(),
            bytes: bytes.clone(),
            backoff: backoff.clone(),
        }
    }
}

impl Other for Prefix {
    const EITHER: &str = "text in quotes, or a table";
}

impl Other for Limits {
    const EITHER: &str = "text in quotes, or a table";
}

impl Default for Reset {
    fn default() -> Self {
        Self { rate: reset_rate(), total_rate: reset_total_rate() }
    }
}

fn text(text: &str) -> At<String> {
    At::nowhere(text.to_owned())
}

fn auto() -> At<String> {
    text("auto")
}

fn max_sources() -> At<i64> {
    At::nowhere(DEFAULT_SOURCES.cast_signed())
}

fn reset_rate() -> At<String> {
    text(super::RESET_RATE)
}

fn reset_total_rate() -> At<String> {
    text(super::RESET_TOTAL_RATE)
}

fn syn() -> At<String> {
    text("syn")
}

fn reset() -> At<String> {
    text("reset")
}

fn source_prefix() -> At<TextOr<Prefix>> {
    At::nowhere(TextOr::Text("32,64".into()))
}

fn bits_v4() -> At<i64> {
    At::nowhere(32)
}

fn bits_v6() -> At<i64> {
    At::nowhere(64)
}

fn no() -> At<bool> {
    At::nowhere(false)
}

fn edquot() -> At<String> {
    text("EDQUOT")
}

fn rule() -> At<String> {
    text("rule")
}
