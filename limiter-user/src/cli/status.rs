//! `limiterctl status`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::{NO, Output};
use crate::host;
use crate::status::{Mode, Status};

/// Show what is attached, and the counters of every rule
///
/// Exits with 1 where nothing is attached.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the status.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let status = Status::read()?;
    let mut stdout = io::stdout().lock();
    match arguments.output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&status)?)?,
        Output::Table if status.mode == Mode::Off => eprintln!("limiterctl: nothing is attached"),
        Output::Table => writeln!(stdout, "{}", status.table())?,
    }
    Ok(if status.mode == Mode::Off { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}
