//! What happens while limits are in force, an event a line of JSON: docs/events.md describes them.

mod bus;
pub mod journal;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::table;

pub use bus::{Follower, KEPT, follow, kept, tell};

/// An event; this is its JSON.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Event {
    /// When, in UTC.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Something was refused.
    Refusal(Refusal),
    /// Something is different from now on.
    State {
        /// A word for it.
        state: String,
        /// The same for people.
        text: String,
    },
    /// Who follows was too slow, and did not get so many events.
    Lost {
        /// How many.
        count: u64,
    },
}

/// A source or a destination that was refused: the first time in a second that it was.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Refusal {
    /// `inbound` or `outbound`.
    pub direction: Direction,
    /// What the rule is called.
    pub rule: String,
    /// The word that `status` has for it.
    pub reason: String,
    /// Inbound: where it came from. Outbound: where it was to go.
    pub address: IpAddr,
    /// The port of the destination; nothing where the protocol has none.
    pub port: Option<u16>,
    /// Inbound: the prefix that is charged.
    pub source: Option<String>,
    /// Outbound: the name that is charged; nothing where that is the address.
    pub host: Option<String>,
    /// Whether it was let through all the same.
    pub monitor: bool,
    /// Milliseconds until one more is admitted; nothing where that is not a matter of time alone.
    pub retry_after_ms: Option<u64>,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To this machine.
    Inbound,
    /// From its processes.
    Outbound,
}

impl Direction {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl Event {
    /// Of something at this time, in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn at(time: u64, what: What) -> Self {
        Self { time: table::time(time.wrapping_sub(clock::now()) as i64), what }
    }

    /// For people, in a line.
    pub fn line(&self) -> String {
        let time = table::whole_seconds(&self.time);
        match &self.what {
            What::Refusal(refusal) => format!("{time}  refusal  {}", refusal.line()),
            What::State { text, .. } => format!("{time}  state    {text}"),
            What::Lost { count } => format!("{time}  lost     {count} events came too fast to be shown"),
        }
    }
}

impl Refusal {
    fn line(&self) -> String {
        let port = self.port.map(|port| format!(" port {port}")).unwrap_or_default();
        let who = match (self.direction, &self.host) {
            (Direction::Inbound, _) => format!("from {} to{port}", self.address),
            (Direction::Outbound, Some(host)) => format!("to {host} ({}){port}", self.address),
            (Direction::Outbound, None) => format!("to {}{port}", self.address),
        };
        let done = if self.monitor { "would be refused" } else { "refused" };
        let retry = self.retry_after_ms.filter(|retry| *retry > 0);
        let retry =
            retry.map(|retry| format!("; try again in {}", table::seconds(retry))).unwrap_or_default();
        format!("{who}: {done} by {} of rule {}{retry}", self.reason, self.rule)
    }
}

/// Tells of a change: `state` is a word for it, `text` the same for people.
pub fn state(state: &str, text: impl Into<String>) {
    tell(&Event::at(clock::now(), What::State { state: state.into(), text: text.into() }));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_the_json_that_is_promised_and_a_line_for_people() {
        let refusal = |direction, host: Option<&str>, source: Option<&str>| Event {
            time: "2026-01-31T12:00:00.123Z".into(),
            what: What::Refusal(Refusal {
                direction,
                rule: "web".into(),
                reason: "rate".into(),
                address: "192.0.2.1".parse().unwrap(),
                port: Some(80),
                source: source.map(Into::into),
                host: host.map(Into::into),
                monitor: false,
                retry_after_ms: Some(1200),
            }),
        };
        let inbound = refusal(Direction::Inbound, None, Some("192.0.2.0/24"));
        assert_eq!(
            serde_json::to_value(&inbound).unwrap(),
            json!({"time": "2026-01-31T12:00:00.123Z", "kind": "refusal", "direction": "inbound", "rule": "web",
                "reason": "rate", "address": "192.0.2.1", "port": 80, "source": "192.0.2.0/24", "host": null,
                "monitor": false, "retry_after_ms": 1200})
        );
        assert_eq!(
            inbound.line(),
            "2026-01-31T12:00:00Z  refusal  from 192.0.2.1 to port 80: refused by rate of rule web; try again in 2s"
        );
        let outbound = refusal(Direction::Outbound, Some("a.test"), None);
        let back: Event = serde_json::from_str(&serde_json::to_string(&outbound).unwrap()).unwrap();
        assert_eq!(back, outbound);
        assert!(outbound.line().contains("to a.test (192.0.2.1) port 80: refused"), "{}", outbound.line());
        let lost = Event { time: inbound.time, what: What::Lost { count: 3 } };
        assert_eq!(
            serde_json::to_value(&lost).unwrap(),
            json!({"time": "2026-01-31T12:00:00.123Z", "kind": "lost", "count": 3})
        );
    }
}
