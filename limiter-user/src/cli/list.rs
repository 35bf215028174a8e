//! `limiterctl list`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{NO, Output};
use crate::{host, hosts, open, rules};

/// List the rules, the names that the limited processes have resolved, or the sources that hold connections open
///
/// Rules come with all that they say; what came of them is told by 'status'. Names come with their rule, state and counts, the most refused first; sources with their rule and how many connections
/// they hold, where a rule limits that with --max-open, those with the most first.
///
/// Exits with 1 where nothing is attached.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to list
    #[arg(value_enum)]
    what: What,

    /// All sources, and not only the first 100
    #[arg(long)]
    all: bool,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// What each rule says.
    Rules,
    /// Names of destinations.
    Hosts,
    /// Sources with open connections.
    Sources,
}

/// How many sources are listed unless all are asked for.
const SOURCES: usize = 100;

/// Prints the list.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    match arguments.what {
        What::Rules => list_rules(arguments.output),
        What::Hosts => list_hosts(arguments.output),
        What::Sources => list_sources(arguments.output, arguments.all),
    }
}

fn list_rules(output: Output) -> anyhow::Result<ExitCode> {
    let Some(rules) = rules::read()? else {
        eprintln!("limiterctl: nothing is attached");
        return Ok(ExitCode::from(NO));
    };
    let mut stdout = io::stdout().lock();
    match output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&rules)?)?,
        Output::Table => writeln!(stdout, "{}", rules::table(&rules))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_sources(output: Output, all: bool) -> anyhow::Result<ExitCode> {
    let Some(mut sources) = open::read()? else {
        eprintln!("limiterctl: nothing limits open connections");
        return Ok(ExitCode::from(NO));
    };
    let more = if all { 0 } else { sources.len().saturating_sub(SOURCES) };
    sources.truncate(sources.len() - more);
    let mut stdout = io::stdout().lock();
    match output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&sources)?)?,
        Output::Table => writeln!(stdout, "{}", open::table(&sources))?,
    }
    if more > 0 {
        eprintln!("limiterctl: {more} more are listed with --all");
    }
    Ok(ExitCode::SUCCESS)
}

fn list_hosts(output: Output) -> anyhow::Result<ExitCode> {
    let Some(hosts) = hosts::read()? else {
        eprintln!("limiterctl: nothing holds limits on destinations");
        return Ok(ExitCode::from(NO));
    };
    let mut stdout = io::stdout().lock();
    match output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&hosts)?)?,
        Output::Table => writeln!(stdout, "{}", hosts::table(&hosts))?,
    }
    Ok(ExitCode::SUCCESS)
}
