//! `limiterctl attach`: raw arguments into checked ones, without touching anything.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use limiter_common::maps::DEFAULT_SOURCES;
use limiter_common::rule::Action;

use crate::bpf::Mode;
use crate::config::duration;
use crate::config::prefix::SourcePrefix;
use crate::daemon::{self, Order};
use crate::failure::Failure;
use crate::policy::{InboundRule, Policy};

/// Names the one rule that comes from flags.
const RULE: &str = "command-line";

/// Attach limits to network interfaces, and keep them until interrupted
///
/// Each source address may open new connections at the given rate. What is over it gets a TCP reset, at once and
/// before the kernel allocates anything. Everything that is not a SYN to one of the ports passes untouched.
#[derive(Debug, Args)]
#[command(after_help = "Example: like iptables -p tcp --syn -m multiport --dports 80,443 -m hashlimit \
--hashlimit-above 900/min --hashlimit-burst 60 --hashlimit-mode srcip -j REJECT --reject-with tcp-reset:

  sudo limiterctl attach --interface eth0 --port 80,443 --rate '900/min burst 60'

It shows its counters while it runs. SIGINT (Ctrl-C) and SIGTERM detach.")]
pub struct Arguments {
    /// Network interfaces, separated by commas or each with a flag of its own
    #[arg(short, long, value_name = "NAME", required = true, value_delimiter = ',')]
    interface: Vec<String>,

    /// Ports and ranges that the limit holds for, together: 80,443,8000-8100
    #[arg(short, long, value_name = "PORTS", required = true)]
    port: Vec<String>,

    /// New connections of one source: '900/min burst 60'. Without a burst, what a second allows (at least 5)
    #[arg(short, long, value_name = "RATE")]
    rate: Option<String>,

    /// New connections of all sources together: '20000/s'
    #[arg(long, value_name = "RATE")]
    total_rate: Option<String>,

    /// What a refused connection gets: a TCP reset, or silence
    #[arg(long, value_enum, default_value_t)]
    action: ActionArgument,

    /// How many bits of an address make one source, for IPv4 and IPv6
    #[arg(long, value_name = "V4,V6", default_value = "32,64")]
    source_prefix: String,

    /// Refuse a source for this long once it is over its rate: 60s, 5min
    #[arg(long, value_name = "TIME")]
    backoff: Option<String>,

    /// Count what would be refused, and refuse nothing
    #[arg(long)]
    monitor: bool,

    /// How many sources are told apart at a time; 8 bytes of kernel memory for each
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_SOURCES, value_parser = clap::value_parser!(u64).range(8..=1 << 34))]
    max_sources: u64,

    /// Where the program runs: in the driver, in the kernel's stack, or the best there is
    #[arg(long, value_enum, default_value_t)]
    xdp_mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ActionArgument {
    #[default]
    Reset,
    Drop,
}

/// Runs until it is told to stop.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let order = arguments.check()?;
    daemon::run(&order).await?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn check(self) -> Result<Order, Failure> {
        let rule = InboundRule {
            name: RULE.into(),
            ports: flag("--port", self.port.join(",").parse())?,
            rate: self.rate.map(|rate| flag("--rate", rate.parse())).transpose()?,
            total_rate: self.total_rate.map(|rate| flag("--total-rate", rate.parse())).transpose()?,
            backoff: match &self.backoff {
                Some(backoff) => flag("--backoff", duration::parse(backoff))?,
                None => Duration::ZERO,
            },
            source_prefix: flag("--source-prefix", self.source_prefix.parse::<SourcePrefix>())?,
            action: match self.action {
                ActionArgument::Reset => Action::Reset,
                ActionArgument::Drop => Action::Drop,
            },
            monitor: self.monitor,
        };
        Ok(Order {
            interfaces: self.interface,
            policy: Policy { rules: vec![rule] },
            max_sources: self.max_sources,
            mode: self.xdp_mode,
        })
    }
}

/// Says which flag it was.
fn flag<T>(name: &str, result: Result<T, Failure>) -> Result<T, Failure> {
    result.map_err(|failure| Failure::new(format!("{name} {}", failure.cause), failure.cure))
}
