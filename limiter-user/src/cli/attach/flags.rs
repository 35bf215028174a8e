//! Raw arguments, and what the file says, into checked ones, without touching anything.
//!
//! Flags go before the file: the value or the list of a flag replaces the file's, `--monitor` holds for all rules, and
//! `--port` and `--host` each add a rule.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use limiter_common::rule::{Action, Charge};

use super::{ActionArgument, Arguments, ChargeArgument, order};
use crate::config::hostname::HostPattern;
use crate::config::prefix::SourcePrefix;
use crate::config::{duration, file};
use crate::daemon::{Order, Waits};
use crate::dns;
use crate::failure::Failure;
use crate::policy::InboundRule;

/// Names the one rule that comes from flags.
const RULE: &str = "command-line";

impl Arguments {
    /// What is to be done, with every value read: first what the file says, where one is read, then what the flags say.
    pub fn check(&self) -> Result<Order, Failure> {
        let mut order = match self.file()? {
            Some(config) => order::of(&config)?,
            None => order::nothing()?,
        };
        let backoff =
            self.backoff.as_ref().map(|time| flag("--backoff", duration::parse(time))).transpose()?;
        order.trial = self.r#for.as_ref().map(|time| flag("--for", duration::parse(time))).transpose()?;
        (order.keep, order.fresh) = (self.keep, self.fresh);
        replace(&mut order.metrics, "--metrics", self.metrics.as_ref())?;
        // Who names something on the command line is there to see that it is not; what a file names may come up later.
        order.waits = Waits {
            interfaces: self.keep || self.interface.is_empty(),
            cgroups: self.keep || self.cgroup.is_empty(),
        };
        self.inbound(&mut order, backoff)?;
        self.outbound(&mut order, backoff)?;
        if self.monitor {
            order.policy.rules.iter_mut().for_each(|rule| rule.monitor = true);
            order.policy.outbound.iter_mut().for_each(|outbound| outbound.monitor = true);
        }
        Ok(order)
    }

    /// Whether a file has a part in what is to be done.
    pub fn reads_file(&self) -> bool {
        self.config.is_some() || self.interface.is_empty() && self.cgroup.is_empty()
    }

    /// What it says.
    fn file(&self) -> Result<Option<file::Config>, Failure> {
        if !self.reads_file() {
            return Ok(None);
        }
        let path = self.config.as_deref().unwrap_or(Path::new(file::PATH));
        if self.config.is_none() && path.try_exists().is_ok_and(|exists| !exists) {
            return Err(Failure::new(
                format!(
                    "nothing says what to limit: no --interface, no --cgroup, and there is no {}",
                    file::PATH
                ),
                "write that file, or say it: limiterctl attach --interface eth0 --port 80 --rate '900/min burst 60'",
            ));
        }
        Ok(Some(file::load(path)?))
    }

    fn inbound(&self, order: &mut Order, backoff: Option<Duration>) -> Result<(), Failure> {
        if !self.interface.is_empty() {
            order.interfaces.clone_from(&self.interface);
        }
        if !self.port.is_empty() {
            let is_destinations = !self.cgroup.is_empty() || order.policy.outbound.is_some();
            order.policy.rules.push(self.rule(backoff, is_destinations)?);
        }
        for (name, list, networks) in [("--allow", 0, &self.allow), ("--deny", 1, &self.deny)] {
            if !networks.is_empty() {
                needs(name, "--interface", !order.interfaces.is_empty())?;
                order.lists[list].1 = read(name, networks)?;
            }
        }
        if let Some(budget) = &mut order.policy.resets {
            replace(&mut budget.rate, "--reset-rate", self.reset_rate.as_ref())?;
            replace(&mut budget.total_rate, "--reset-total-rate", self.reset_total_rate.as_ref())?;
        }
        order.mode = self.xdp_mode.unwrap_or(order.mode);
        order.max_sources = self.max_sources.unwrap_or(order.max_sources);
        if !self.interface.is_empty() {
            needs("--interface", "--port", !order.policy.rules.is_empty())?;
        }
        needs("--port", "--interface", order.policy.rules.is_empty() || !order.interfaces.is_empty())
    }

    /// The one rule that flags make.
    fn rule(&self, backoff: Option<Duration>, is_destinations: bool) -> Result<InboundRule, Failure> {
        let rate =
            |name, rate: &Option<String>| rate.as_ref().map(|rate| flag(name, rate.parse())).transpose();
        let mut source_prefix = SourcePrefix::default();
        replace(&mut source_prefix, "--source-prefix", self.source_prefix.as_ref())?;
        Ok(InboundRule {
            name: RULE.into(),
            ports: flag("--port", self.port.join(",").parse())?,
            rate: rate("--rate", &self.rate)?,
            total_rate: rate("--total-rate", &self.total_rate)?,
            strangers_rate: rate("--strangers-rate", &self.strangers_rate)?,
            charge: match self.charge.unwrap_or_default() {
                ChargeArgument::Syn => Charge::Syn,
                ChargeArgument::Handshake => Charge::Handshake,
            },
            max_open: self.max_open,
            // With limits on destinations beside it, the back-off may be theirs alone.
            backoff: match backoff {
                Some(_) if self.rate.is_none() && is_destinations => Duration::ZERO,
                backoff => backoff.unwrap_or_default(),
            },
            source_prefix,
            action: match self.action.unwrap_or_default() {
                ActionArgument::Reset => Action::Reset,
                ActionArgument::Drop => Action::Drop,
            },
            monitor: self.monitor,
        })
    }

    fn outbound(&self, order: &mut Order, backoff: Option<Duration>) -> Result<(), Failure> {
        if !self.cgroup.is_empty() {
            order.cgroups.clone_from(&self.cgroup);
            order.policy.outbound.get_or_insert_default().servers = dns::servers();
        }
        let Some(outbound) = &mut order.policy.outbound else {
            let flags = [
                ("--default-rate", self.default_rate.is_some()),
                ("--host", !self.host.is_empty()),
                ("--per-ip-rate", self.per_ip_rate.is_some()),
                ("--errno", self.errno.is_some()),
                ("--exempt", !self.exempt.is_empty()),
            ];
            flags.iter().try_for_each(|(name, given)| needs(name, "--cgroup", !given))?;
            return needs("--backoff", "--rate or --cgroup", backoff.is_none() || !self.port.is_empty());
        };
        if let Some(text) = &self.default_rate {
            outbound.default = Some(flag("--default-rate", text.parse())?);
        }
        if let Some(text) = &self.per_ip_rate {
            outbound.per_ip = Some(flag("--per-ip-rate", text.parse())?);
        }
        outbound.rules.extend(read("--host", &self.host)?);
        outbound.backoff = backoff.or(outbound.backoff);
        if !self.exempt.is_empty() {
            outbound.exempt = self.exempt.iter().map(|text| exempt(text)).collect::<Result<_, _>>()?;
        }
        replace(&mut outbound.errno, "--errno", self.errno.as_ref())
    }
}

fn exempt(text: &str) -> Result<HostPattern, Failure> {
    match flag("--exempt", text.parse())? {
        network @ HostPattern::Network(_) => Ok(network),
        name => Err(Failure::new(
            format!("--exempt '{name}' is a name"),
            "exempt networks and addresses only: 10.0.0.0/8,192.0.2.1",
        )),
    }
}

/// Refuses a flag that means nothing without another, unless the file says that one.
fn needs(name: &str, other: &str, met: bool) -> Result<(), Failure> {
    if met {
        return Ok(());
    }
    Err(Failure::new(
        format!("{name} means nothing without {other}"),
        format!("add {other}, or have a file say it (--config); see limiterctl attach --help"),
    ))
}

/// Puts what a flag says in place of what is there.
fn replace<T: FromStr<Err = Failure>>(
    place: &mut T,
    name: &str,
    text: Option<&String>,
) -> Result<(), Failure> {
    if let Some(text) = text {
        *place = flag(name, text.parse())?;
    }
    Ok(())
}

fn read<T: FromStr<Err = Failure>>(name: &str, texts: &[String]) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| flag(name, text.parse())).collect()
}

/// Says which flag it was.
fn flag<T>(name: &str, result: Result<T, Failure>) -> Result<T, Failure> {
    result.map_err(|failure| Failure::new(format!("{name} {}", failure.cause), failure.cure))
}
