//! `limiterctl allow` and `limiterctl deny`.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use limiter_common::lists::{EVERY_RULE, FOREVER};
use schemars::JsonSchema;
use serde::Serialize;

use super::{NO, Output};
use crate::bpf::Pins;
use crate::bpf::lists::{List, Listed, Lists};
use crate::config::duration;
use crate::config::network::Network;
use crate::failure::Failure;
use crate::state::State;
use crate::{clock, host, ssh, table};

/// In place of a file: standard input.
const STDIN: &str = "-";

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put prefixes on the list; one that is there gets the new end
    Add {
        #[command(flatten)]
        prefixes: Prefixes,
        /// Take them off again after this time: '1h'
        #[arg(long, value_name = "TIME")]
        r#for: Option<String>,
    },
    /// Take prefixes off the list; exits with 1 where none of them was on it
    Remove {
        #[command(flatten)]
        prefixes: Prefixes,
    },
    /// Make these the whole list, in one step
    Replace {
        #[command(flatten)]
        prefixes: Prefixes,
    },
    /// Print the list
    List {
        /// How to print it
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
struct Prefixes {
    /// Networks and addresses: 203.0.113.0/24 198.51.100.7
    #[arg(value_name = "PREFIX", required_unless_present = "file")]
    given: Vec<String>,
    /// Read them from a file, one a line, '#' begins a comment; '-' is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only for one rule, by its name
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
}

/// A prefix on a list; this is its JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Row {
    /// As it stands on the list.
    prefix: String,
    /// Nothing where it holds for every rule.
    rule: Option<String>,
    /// Nothing where it has no end.
    until: Option<String>,
}

/// Changes or prints a list of what is attached.
pub fn run(list: List, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let state = State::with_ports()?;
    // Opened last: nobody is to wait while prefixes are read.
    let lists = || Lists::open(&Pins::locate());
    match &arguments.verb {
        Verb::Add { prefixes, r#for } => {
            let time = r#for.as_deref().map(duration::parse).transpose();
            let time =
                time.map_err(|failure| Failure::new(format!("--for {}", failure.cause), failure.cure))?;
            let listed = prefixes.listed(&state, time)?;
            lists()?.add(list, &listed)?;
            warn(list, &state, &listed);
            println!("limiterctl: {} {}", count(listed.len()), done(list));
        }
        Verb::Remove { prefixes } => {
            let (scope, networks) = (prefixes.scope(&state)?, prefixes.networks()?);
            let removed = lists()?.remove(list, scope, &networks)?;
            println!("limiterctl: {} taken off", count(removed));
            if removed == 0 {
                return Ok(ExitCode::from(NO));
            }
        }
        Verb::Replace { prefixes } => {
            let listed = prefixes.listed(&state, None)?;
            lists()?.replace(list, prefixes.scope(&state)?, &listed)?;
            warn(list, &state, &listed);
            println!("limiterctl: {} {}, and no other", count(listed.len()), done(list));
        }
        Verb::List { output } => output.print(&rows(&state, lists()?.read(list)), |rows| table(rows))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads prefixes from a file, or from standard input.
///
/// # Errors
///
/// The first line that is none, by its number.
pub fn read(path: &Path) -> anyhow::Result<Vec<Network>> {
    let (name, text) = if path.as_os_str() == STDIN {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        ("standard input".into(), text)
    } else {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        (path.display().to_string(), text)
    };
    let mut networks = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let prefix = line.split('#').next().unwrap_or_default().trim();
        if prefix.is_empty() {
            continue;
        }
        let network = prefix.parse();
        networks.push(
            network.map_err(|f: Failure| Failure::new(format!("{name}:{number}: {}", f.cause), f.cure))?,
        );
    }
    Ok(networks)
}

impl Prefixes {
    fn networks(&self) -> anyhow::Result<Vec<Network>> {
        let mut networks =
            self.given.iter().map(|prefix| prefix.parse()).collect::<Result<Vec<_>, Failure>>()?;
        if let Some(path) = &self.file {
            networks.extend(read(path)?);
        }
        Ok(networks)
    }

    fn scope(&self, state: &State) -> Result<u32, Failure> {
        let Some(name) = &self.rule else { return Ok(EVERY_RULE) };
        let rule = state.rules.iter().find(|rule| rule.name == *name);
        rule.map(|rule| rule.number).ok_or_else(|| {
            let names: Vec<_> = state.rules.iter().map(|rule| rule.name.as_str()).collect();
            Failure::new(format!("no rule is called '{name}'"), format!("here are: {}", names.join(", ")))
        })
    }

    fn listed(&self, state: &State, time: Option<Duration>) -> anyhow::Result<Vec<Listed>> {
        let until = time.map_or(FOREVER, |time| {
            clock::now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(FOREVER)).min(FOREVER)
        });
        let scope = self.scope(state)?;
        let networks = self.networks()?.into_iter();
        Ok(networks.map(|network| Listed { network, scope, until }).collect())
    }
}

/// Says so where a person denies the address that he himself comes from.
fn warn(list: List, state: &State, listed: &[Listed]) {
    let Some(peer) = ssh::peer().filter(|_| list == List::Deny) else { return };
    let rules = state.rules.iter().filter(|rule| rule.has_port(peer.port));
    let numbers: Vec<u32> = rules.map(|rule| rule.number).collect();
    let mut denying = listed.iter().filter(|l| l.scope == EVERY_RULE || numbers.contains(&l.scope));
    if !numbers.is_empty()
        && let Some(denying) = denying.find(|listed| listed.network.contains(peer.address))
    {
        eprintln!(
            "limiterctl: warning: {} covers {}, from which you are logged in by SSH: you cannot come back",
            denying.network, peer.address
        );
        let rule = state.rule(denying.scope).map(|rule| format!(" --rule '{}'", rule.name));
        eprintln!(
            "  take it back with: limiterctl deny remove {}{}",
            denying.network,
            rule.unwrap_or_default()
        );
    }
}

fn rows(state: &State, mut listed: Vec<Listed>) -> Vec<Row> {
    listed.sort_unstable_by_key(|listed| (listed.scope, listed.network));
    let now = clock::now();
    let rows = listed.into_iter().map(|listed| Row {
        prefix: listed.network.to_string(),
        rule: state.rule(listed.scope).map(|rule| rule.name.clone()),
        until: (listed.until != FOREVER).then(|| table::time((listed.until - now).cast_signed())),
    });
    rows.collect()
}

fn table(rows: &[Row]) -> String {
    let mut table = table::new(["prefix", "rule", "until"]);
    for Row { prefix, rule, until } in rows {
        let until = until.as_deref().map(table::whole_seconds).unwrap_or_default();
        table.add_row([prefix, rule.as_deref().unwrap_or("all"), &until]);
    }
    table.to_string()
}

fn count(prefixes: usize) -> String {
    if prefixes == 1 { "1 prefix".into() } else { format!("{prefixes} prefixes") }
}

const fn done(list: List) -> &'static str {
    match list {
        List::Allow => "allowed",
        List::Deny => "denied",
    }
}
