//! Several limits into the one command that holds all of them.

use crate::failure::Failure;

use super::Defaults;
use super::command::{Command, Rule};
use super::fold::{Amount, Limit};
use super::words::Stop;

/// What one command holds.
#[derive(Debug, Default)]
pub struct Combined {
    limits: Vec<Limit>,
}

/// One flag of each kind, for the limits of both IP versions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rate,
    Total,
    Open,
}

impl Combined {
    /// Adds a limit.
    ///
    /// # Errors
    ///
    /// Where one command cannot hold it beside the others.
    pub fn add(&mut self, limit: Limit) -> Result<(), Failure> {
        if let Some(first) = self.limits.first() {
            let beside = |what: &str, cure: &str| {
                Err(Failure::new(format!("beside {}, {what}", first.place), cure.to_owned()))
            };
            if first.ports != limit.ports {
                return beside(
                    &format!(
                        "it is for other ports ({}): one attach holds one rule, and one runs at a time",
                        limit.ports
                    ),
                    "translate each by itself, and choose",
                );
            }
            if first.resets != limit.resets {
                return beside(
                    "it refuses in another way, and attach has one --action",
                    "make both reset, or both drop",
                );
            }
            if first.allowed != limit.allowed {
                return beside(
                    "others are exempt from it, and attach has one --allow",
                    "exempt the same from both",
                );
            }
            if first.matches.interfaces != limit.matches.interfaces {
                return beside(
                    "it is for another interface",
                    "translate each by itself, or leave the interfaces out",
                );
            }
            if let Some(why) = self.limits.iter().find_map(|other| clash(other, &limit)) {
                return Err(why);
            }
        }
        self.limits.push(limit);
        Ok(())
    }

    /// The rule that the first limit comes from.
    pub fn place(&self) -> String {
        self.limits.first().map(|limit| limit.place.clone()).unwrap_or_default()
    }

    /// The command, where there is a limit, and a line for each thing in which it is not quite the same.
    ///
    /// # Errors
    ///
    /// Where a value does not fit a flag, or nothing says on which interface.
    pub fn command(&self, defaults: &Defaults) -> Result<Option<(Command, Vec<String>)>, Stop> {
        let Some(first) = self.limits.first() else { return Ok(None) };
        let mut notes: Vec<String> = Vec::new();
        let interfaces = interfaces(first, defaults, &mut notes)?;
        let ports = first.ports.each();
        // A port belongs to one rule, so no two rules of a file are called so.
        let mut rule = Rule {
            name: format!("port-{}", ports.first().map_or("none", String::as_str)),
            ports,
            ..Rule::default()
        };
        let mut prefixes = (None, None);
        for limit in &self.limits {
            if let Amount::Rate { prefix, .. } | Amount::Open { prefix, .. } = limit.amount {
                let place = if limit.matches.v6 { &mut prefixes.1 } else { &mut prefixes.0 };
                *place = Some(prefix);
            }
        }
        for kind in [Kind::Rate, Kind::Total, Kind::Open] {
            let Some(limit) = self.limits.iter().find(|limit| kind_of(limit) == kind) else { continue };
            match limit.amount {
                Amount::Rate { pace, backoff, .. } => {
                    let (rate, note) = pace.written().map_err(Stop::NoEqual)?;
                    rule.rate = Some(rate);
                    rule.backoff = backoff.map(|seconds| format!("{seconds}s"));
                    notes.extend(note);
                }
                Amount::Total(pace) => {
                    let (rate, note) = pace.written().map_err(Stop::NoEqual)?;
                    rule.total_rate = Some(rate);
                    notes.extend(note);
                }
                Amount::Open { count, .. } => rule.max_open = Some(count),
            }
        }
        let (v4, v6) = (prefixes.0.unwrap_or(32), prefixes.1.unwrap_or(64));
        rule.source_prefix = ((v4, v6) != (32, 64)).then(|| format!("{v4},{v6}"));
        rule.action = (!first.resets).then_some("drop");
        let allow = first.allowed.iter().map(ToString::to_string).collect();
        self.remark(&mut notes);
        Ok(Some((Command { interfaces, allow, rule }, notes)))
    }

    /// Where the command is not quite the same as the rules.
    fn remark(&self, notes: &mut Vec<String>) {
        let all = |holds: fn(&Limit) -> bool| {
            [Kind::Rate, Kind::Total, Kind::Open].iter().all(|kind| {
                let mut of_kind = self.limits.iter().filter(|limit| kind_of(limit) == *kind).peekable();
                of_kind.peek().is_none() || of_kind.any(holds)
            })
        };
        if !all(|limit| limit.matches.v6) {
            notes.push(
                "IPv6 is held to it as well, each /64 as one source: the rule is for IPv4 alone".into(),
            );
        }
        if !all(|limit| limit.matches.v4) {
            notes.push(
                "IPv4 is held to it as well, each address as one source: the rule is for IPv6 alone".into(),
            );
        }
        if self.limits.iter().any(|limit| !limit.forwards) {
            notes.push(
                "what this machine forwards is held to it as well: chain INPUT does not see that".into(),
            );
        }
        for note in self.limits.iter().flat_map(|limit| &limit.notes) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        if self.limits.iter().any(|limit| kind_of(limit) == Kind::Open) {
            notes.push(
                "open connections are sockets here, not entries of conntrack: see docs/connlimit.md".into(),
            );
        }
        if self.limits.iter().any(|limit| kind_of(limit) != kind_of(&self.limits[0])) {
            notes.push(
                "what one limit refuses uses up nothing of the others; there it does of those before".into(),
            );
        }
        if self.limits[0].resets {
            notes.push("resets have a budget, beyond which there is silence: see --reset-rate".into());
        }
    }
}

fn kind_of(limit: &Limit) -> Kind {
    match limit.amount {
        Amount::Rate { .. } => Kind::Rate,
        Amount::Total(_) => Kind::Total,
        Amount::Open { .. } => Kind::Open,
    }
}

/// Why two limits do not go into one command.
fn clash(one: &Limit, other: &Limit) -> Option<Failure> {
    let beside =
        |what: &str, cure: &str| Some(Failure::new(format!("beside {}, {what}", one.place), cure.to_owned()));
    let bits = |amount| match amount {
        Amount::Rate { prefix, .. } | Amount::Open { prefix, .. } => Some(prefix),
        Amount::Total(_) => None,
    };
    let same_version = one.matches.v4 && other.matches.v4 || one.matches.v6 && other.matches.v6;
    if kind_of(one) == kind_of(other) {
        let without_bits = |amount| match amount {
            Amount::Rate { pace, backoff, .. } => Amount::Rate { pace, backoff, prefix: 0 },
            Amount::Open { count, .. } => Amount::Open { count, prefix: 0 },
            total @ Amount::Total(_) => total,
        };
        if same_version {
            return beside("it is a second limit of the same kind", "keep the one that is stricter");
        }
        if kind_of(one) == Kind::Total {
            return beside(
                "it is a total of its own, and attach has one for both IP versions",
                "add both up",
            );
        }
        if without_bits(one.amount) != without_bits(other.amount) {
            return beside("it differs, and attach has one limit for both IP versions", "make both the same");
        }
    } else if let (Some(a), Some(b)) = (bits(one.amount), bits(other.amount))
        && same_version
        && a != b
    {
        return beside(
            &format!("its sources have {b} bits, not {a}, and attach has one --source-prefix"),
            "count both by the same prefix",
        );
    }
    None
}

/// Where to attach: what is asked for, what the rule says, or where the default route leads.
fn interfaces(limit: &Limit, defaults: &Defaults, notes: &mut Vec<String>) -> Result<Vec<String>, Stop> {
    match (&limit.matches.interfaces, &defaults.interfaces[..], &defaults.route) {
        (Some(said), [], _) => Ok(said.clone()),
        (Some(said), asked, _) if said == asked => Ok(said.clone()),
        (Some(said), asked, _) => Err(Stop::no_equal(
            format!("it is for interface {}, and not for {}", said.join(","), asked.join(",")),
            "leave --interface out, or take the interface out of the rule",
        )),
        (None, [], Some(route)) => {
            notes.push(format!("the rule is for every interface; the default route leads to {route}"));
            Ok(vec![route.clone()])
        }
        (None, [], None) => Err(Stop::malformed(
            "the rule names no interface, and this machine has no default route that would tell",
            "say where it is to hold: limiterctl translate --interface eth0",
        )),
        (None, asked, _) => Ok(asked.to_vec()),
    }
}
