//! `limiterctl attach`: raw arguments into checked ones, without touching anything.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use limiter_common::maps::DEFAULT_SOURCES;
use limiter_common::rule::{Action, Charge};

use crate::bpf::Mode;
use crate::bpf::lists::List;
use crate::config::duration;
use crate::config::errno::RefusalErrno;
use crate::config::hostname::HostPattern;
use crate::config::network::Network;
use crate::config::prefix::SourcePrefix;
use crate::daemon::{self, Order};
use crate::dns;
use crate::failure::Failure;
use crate::policy::{InboundRule, OutboundPolicy, Policy, ResetBudget};

/// Names the one rule that comes from flags.
const RULE: &str = "command-line";

/// Attach limits to network interfaces and to cgroups, and keep them until interrupted
///
/// Inbound, on interfaces: each source address may open new connections at the given rate. What is over it gets a TCP
/// reset, at once and before the kernel allocates anything. Everything that is not a SYN to one of the ports passes
/// untouched.
///
/// Outbound, for the processes in a cgroup: each destination name may be connected to at its rate. What is over it gets
/// an error from `connect()`, at once; `limiterctl why NAME` tells which limit it was and for how long.
#[derive(Debug, Args)]
#[command(after_help = "Example: like iptables -p tcp --syn -m multiport --dports 80,443 -m hashlimit \
--hashlimit-above 900/min --hashlimit-burst 60 --hashlimit-mode srcip -j REJECT --reject-with tcp-reset:

  sudo limiterctl attach --interface eth0 --port 80,443 --rate '900/min burst 60'

Example: the processes of a unit may connect to any name 10 times a second, to Google's 20 times, and whoever is over
that waits for 15 seconds:

  sudo limiterctl attach --cgroup shop.service --default-rate '10/s burst 10' --backoff 15s \\
      --host 'google.com,*.google.com = 20/s burst 20'

It shows its counters while it runs. SIGINT (Ctrl-C) and SIGTERM detach.")]
pub struct Arguments {
    /// Network interfaces, separated by commas or each with a flag of its own
    #[arg(
        short,
        long,
        value_name = "NAME",
        value_delimiter = ',',
        required_unless_present = "cgroup",
        requires = "port"
    )]
    interface: Vec<String>,

    /// Ports and ranges that the limit holds for, together: 80,443,8000-8100
    #[arg(short, long, value_name = "PORTS", requires = "interface")]
    port: Vec<String>,

    /// New connections of one source: '900/min burst 60'. Without a burst, what a second allows (at least 5)
    #[arg(short, long, value_name = "RATE", requires = "interface")]
    rate: Option<String>,

    /// New connections of all sources together: '20000/s'
    #[arg(long, value_name = "RATE", requires = "interface")]
    total_rate: Option<String>,

    /// New connections of all sources together that have not completed a handshake within the last hour: '5000/s'
    #[arg(long, value_name = "RATE", requires = "interface")]
    strangers_rate: Option<String>,

    /// What uses up the rate of a source: a SYN, or a handshake that was completed, which nobody can forge
    #[arg(long, value_enum, default_value_t)]
    charge: ChargeArgument,

    /// Connections that one source may hold open at a time, in this network namespace; with or without a rate
    #[arg(long, value_name = "NUMBER", requires = "interface", value_parser = clap::value_parser!(u32).range(1..=65535))]
    max_open: Option<u32>,

    /// What a refused connection gets: a TCP reset, or silence
    #[arg(long, value_enum, default_value_t)]
    action: ActionArgument,

    /// How many resets one source gets; beyond that there is silence
    #[arg(long, value_name = "RATE", default_value = "100/s burst 100")]
    reset_rate: String,

    /// How many resets all sources together get
    #[arg(long, value_name = "RATE", default_value = "10000/s burst 10000")]
    reset_total_rate: String,

    /// How many bits of an address make one source, for IPv4 and IPv6
    #[arg(long, value_name = "V4,V6", default_value = "32,64")]
    source_prefix: String,

    /// Refuse a source, or a destination, for this long once it is over its rate: 60s, 5min
    #[arg(long, value_name = "TIME")]
    backoff: Option<String>,

    /// Count what would be refused, and refuse nothing
    #[arg(long)]
    monitor: bool,

    /// How many sources are told apart at a time; 8 bytes of kernel memory for each
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_SOURCES, value_parser = clap::value_parser!(u64).range(8..=1 << 34))]
    max_sources: u64,

    /// Networks and addresses that no limit looks at: '198.51.100.0/24,203.0.113.7'
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',', requires = "interface")]
    allow: Vec<String>,

    /// Networks and addresses that are refused; the rest of a long list goes by limiterctl deny
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',', requires = "interface")]
    deny: Vec<String>,

    /// Take all off again after this time, unless limiterctl confirm comes first: '5m'
    #[arg(long, value_name = "TIME")]
    r#for: Option<String>,

    /// Where the program runs: in the driver, in the kernel's stack, or the best there is
    #[arg(long, value_enum, default_value_t)]
    xdp_mode: Mode,

    /// Limit what the processes of this cgroup connect to: a path in cgroup v2, or a systemd unit's name
    #[arg(short, long, value_name = "CGROUP", value_delimiter = ',')]
    cgroup: Vec<String>,

    /// New connections to each name that no --host lists, and to each address without a name: '10/s burst 10'
    #[arg(long, value_name = "LIMITS", requires = "cgroup")]
    default_rate: Option<String>,

    /// Limits on names, wildcards and networks: 'google.com,*.google.com = 20/s burst 20, backoff 15s'
    #[arg(long, value_name = "HOSTS = LIMITS", requires = "cgroup")]
    host: Vec<String>,

    /// New connections to each address, whatever its names: '50/s'
    #[arg(long, value_name = "RATE", requires = "cgroup")]
    per_ip_rate: Option<String>,

    /// The error that a refused `connect()` gets
    #[arg(long, value_name = "ERRNO", default_value_t = RefusalErrno::default().to_string(), requires = "cgroup")]
    errno: String,

    /// Networks that are never limited, unless a --host lists them; loopback and name servers are among them
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', requires = "cgroup")]
    exempt: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ActionArgument {
    #[default]
    Reset,
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ChargeArgument {
    #[default]
    Syn,
    Handshake,
}

/// Runs until it is told to stop.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let order = arguments.check()?;
    daemon::run(&order).await?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// What is to be done, with every value read.
    pub fn check(self) -> Result<Order, Failure> {
        let backoff =
            self.backoff.as_ref().map(|time| flag("--backoff", duration::parse(time))).transpose()?;
        let outbound = self.outbound(backoff)?;
        let resets = ResetBudget {
            rate: flag("--reset-rate", self.reset_rate.parse())?,
            total_rate: flag("--reset-total-rate", self.reset_total_rate.parse())?,
        };
        let rules = self.inbound(backoff)?.into_iter().collect();
        Ok(Order {
            interfaces: self.interface,
            cgroups: self.cgroup,
            policy: Policy { rules, resets: Some(resets), outbound },
            lists: [
                (List::Allow, networks("--allow", &self.allow)?),
                (List::Deny, networks("--deny", &self.deny)?),
            ],
            trial: self.r#for.as_ref().map(|time| flag("--for", duration::parse(time))).transpose()?,
            max_sources: self.max_sources,
            mode: self.xdp_mode,
        })
    }

    fn inbound(&self, backoff: Option<Duration>) -> Result<Option<InboundRule>, Failure> {
        if self.interface.is_empty() {
            return Ok(None);
        }
        let rate =
            |name, rate: &Option<String>| rate.as_ref().map(|rate| flag(name, rate.parse())).transpose();
        Ok(Some(InboundRule {
            name: RULE.into(),
            ports: flag("--port", self.port.join(",").parse())?,
            rate: rate("--rate", &self.rate)?,
            total_rate: rate("--total-rate", &self.total_rate)?,
            strangers_rate: rate("--strangers-rate", &self.strangers_rate)?,
            charge: match self.charge {
                ChargeArgument::Syn => Charge::Syn,
                ChargeArgument::Handshake => Charge::Handshake,
            },
            max_open: self.max_open,
            // With limits on destinations beside it, the back-off may be theirs alone.
            backoff: match backoff {
                Some(_) if self.rate.is_none() && !self.cgroup.is_empty() => Duration::ZERO,
                backoff => backoff.unwrap_or_default(),
            },
            source_prefix: flag("--source-prefix", self.source_prefix.parse::<SourcePrefix>())?,
            action: match self.action {
                ActionArgument::Reset => Action::Reset,
                ActionArgument::Drop => Action::Drop,
            },
            monitor: self.monitor,
        }))
    }

    fn outbound(&self, backoff: Option<Duration>) -> Result<Option<OutboundPolicy>, Failure> {
        if self.cgroup.is_empty() {
            return Ok(None);
        }
        let network = |text: &String| match flag("--exempt", text.parse())? {
            network @ HostPattern::Network(_) => Ok(network),
            name => Err(Failure::new(
                format!("--exempt '{name}' is a name"),
                "exempt networks and addresses only: 10.0.0.0/8,192.0.2.1",
            )),
        };
        Ok(Some(OutboundPolicy {
            default: self
                .default_rate
                .as_ref()
                .map(|text| flag("--default-rate", text.parse()))
                .transpose()?,
            per_ip: self.per_ip_rate.as_ref().map(|text| flag("--per-ip-rate", text.parse())).transpose()?,
            rules: self.host.iter().map(|text| flag("--host", text.parse())).collect::<Result<_, _>>()?,
            backoff,
            exempt: self.exempt.iter().map(network).collect::<Result<_, _>>()?,
            servers: dns::servers(),
            errno: flag("--errno", self.errno.parse::<RefusalErrno>())?,
            monitor: self.monitor,
        }))
    }
}

fn networks(name: &str, prefixes: &[String]) -> Result<Vec<Network>, Failure> {
    prefixes.iter().map(|prefix| flag(name, prefix.parse())).collect()
}

/// Says which flag it was.
fn flag<T>(name: &str, result: Result<T, Failure>) -> Result<T, Failure> {
    result.map_err(|failure| Failure::new(format!("{name} {}", failure.cause), failure.cure))
}
