//! `limiterctl attach`: its arguments. What they come to is in `flags.rs`, what a file says in `order.rs`.

mod flags;
pub(super) mod order;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::bpf::Mode;
use crate::daemon::{self, Reread};

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

Example: what /etc/limiterctl/limiterctl.toml says, to be tried out (limiterctl check explains it without attaching):

  sudo limiterctl attach --monitor

It shows its counters while it runs. SIGINT (Ctrl-C) and SIGTERM detach.")]
pub struct Arguments {
    /// Read what to limit from this file; without it, and without --interface and --cgroup, from
    /// /etc/limiterctl/limiterctl.toml. What flags say replaces what the file says; --port and --host add a rule
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Network interfaces, separated by commas or each with a flag of its own; 'eth*' stands for all of that name, also
    /// for those to come
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    interface: Vec<String>,

    /// Ports and ranges that the limit holds for, together: 80,443,8000-8100
    #[arg(short, long, value_name = "PORTS")]
    port: Vec<String>,

    /// New connections of one source: '900/min burst 60'. Without a burst, what a second allows (at least 5)
    #[arg(short, long, value_name = "RATE", requires = "port")]
    rate: Option<String>,

    /// New connections of all sources together: '20000/s'
    #[arg(long, value_name = "RATE", requires = "port")]
    total_rate: Option<String>,

    /// New connections of all sources together that have not completed a handshake within the last hour: '5000/s'
    #[arg(long, value_name = "RATE", requires = "port")]
    strangers_rate: Option<String>,

    /// What uses up the rate of a source: a SYN, or a handshake that was completed, which nobody can forge
    /// [default: syn]
    #[arg(long, value_enum, requires = "port")]
    charge: Option<ChargeArgument>,

    /// Connections that one source may hold open at a time, in this network namespace; with or without a rate
    #[arg(long, value_name = "NUMBER", requires = "port", value_parser = clap::value_parser!(u32).range(1..=65535))]
    max_open: Option<u32>,

    /// What a refused connection gets: a TCP reset, or silence [default: reset]
    #[arg(long, value_enum, requires = "port")]
    action: Option<ActionArgument>,

    /// How many resets one source gets; beyond that there is silence [default: 100/s burst 100]
    #[arg(long, value_name = "RATE")]
    reset_rate: Option<String>,

    /// How many resets all sources together get [default: 10000/s burst 10000]
    #[arg(long, value_name = "RATE")]
    reset_total_rate: Option<String>,

    /// How many bits of an address make one source, for IPv4 and IPv6 [default: 32,64]
    #[arg(long, value_name = "V4,V6", requires = "port")]
    source_prefix: Option<String>,

    /// Refuse a source, or a destination, for this long once it is over its rate: 60s, 5min
    #[arg(long, value_name = "TIME")]
    backoff: Option<String>,

    /// Count what would be refused, and refuse nothing
    #[arg(long)]
    monitor: bool,

    /// How many sources are told apart at a time; 8 bytes of kernel memory for each [default: 1048576]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(8..=1 << 34))]
    max_sources: Option<u64>,

    /// Networks and addresses that no limit looks at: '198.51.100.0/24,203.0.113.7'
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',')]
    allow: Vec<String>,

    /// Networks and addresses that are refused; the rest of a long list goes by limiterctl deny
    #[arg(long, value_name = "PREFIXES", value_delimiter = ',')]
    deny: Vec<String>,

    /// Take all off again after this time, unless limiterctl confirm comes first: '5m'
    #[arg(long, value_name = "TIME")]
    r#for: Option<String>,

    /// Where Prometheus finds metrics, or 'off' [default: 127.0.0.1:9469, if it is free]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,

    /// Leave the limits in force at a clean end, as at any other; limiterctl detach takes them off
    #[arg(long)]
    keep: bool,

    /// Forget what an earlier limiterctl has counted and holds; its limits stay in force until these take their place
    #[arg(long)]
    fresh: bool,

    /// Where the program runs: in the driver, in the kernel's stack, or the best there is [default: auto]
    #[arg(long, value_enum)]
    xdp_mode: Option<Mode>,

    /// Limit what the processes of this cgroup connect to: a path in cgroup v2, or a systemd unit's name
    #[arg(short, long, value_name = "CGROUP", value_delimiter = ',')]
    cgroup: Vec<String>,

    /// New connections to each name that no --host lists, and to each address without a name: '10/s burst 10'
    #[arg(long, value_name = "LIMITS")]
    default_rate: Option<String>,

    /// Limits on names, wildcards and networks: 'google.com,*.google.com = 20/s burst 20, backoff 15s'
    #[arg(long, value_name = "HOSTS = LIMITS")]
    host: Vec<String>,

    /// New connections to each address, whatever its names: '50/s'
    #[arg(long, value_name = "RATE")]
    per_ip_rate: Option<String>,

    /// The error that a refused `connect()` gets [default: EDQUOT]
    #[arg(long, value_name = "ERRNO")]
    errno: Option<String>,

    /// Networks that are never limited, unless a --host lists them; loopback and name servers are among them
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
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
    let reread: Option<Reread> =
        if arguments.reads_file() { Some(Box::new(move || Ok(arguments.check()?))) } else { None };
    daemon::run(order, reread).await?;
    Ok(ExitCode::SUCCESS)
}
