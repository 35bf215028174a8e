//! `limiterctl list`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

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
    let output = arguments.output;
    match arguments.what {
        What::Rules => print(output, rules::read()?, "nothing is attached", rules::table),
        What::Hosts => {
            print(output, hosts::read()?, "nothing holds limits on destinations", |hosts| hosts::table(hosts))
        }
        What::Sources => {
            let mut sources = open::read()?;
            let all = sources.as_ref().map_or(0, Vec::len);
            let more = if arguments.all { 0 } else { all.saturating_sub(SOURCES) };
            if let Some(sources) = &mut sources {
                sources.truncate(all - more);
            }
            let code =
                print(output, sources, "nothing limits open connections", |sources| open::table(sources))?;
            if more > 0 {
                eprintln!("limiterctl: {more} more are listed with --all");
            }
            Ok(code)
        }
    }
}

/// Prints what there is, or says why there is nothing.
fn print<T: Serialize>(
    output: Output,
    answer: Option<T>,
    nothing: &str,
    table: impl Fn(&T) -> String,
) -> anyhow::Result<ExitCode> {
    let Some(answer) = answer else {
        eprintln!("limiterctl: {nothing}");
        return Ok(ExitCode::from(NO));
    };
    output.print(&answer, table)?;
    Ok(ExitCode::SUCCESS)
}
