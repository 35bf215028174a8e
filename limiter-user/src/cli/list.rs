//! `limiterctl list`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{NO, Output};
use crate::{host, hosts};

/// List the names that the limited processes have resolved, each with its rule, state and counts
///
/// Exits with 1 where nothing is attached.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to list
    #[arg(value_enum)]
    what: What,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Names of destinations.
    Hosts,
}

/// Prints the list.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let What::Hosts = arguments.what;
    let Some(hosts) = hosts::read()? else {
        eprintln!("limiterctl: nothing holds limits on destinations");
        return Ok(ExitCode::from(NO));
    };
    let mut stdout = io::stdout().lock();
    match arguments.output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&hosts)?)?,
        Output::Table => writeln!(stdout, "{}", hosts::table(&hosts))?,
    }
    Ok(ExitCode::SUCCESS)
}
