//! `limiterctl status`.

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
    match arguments.output {
        Output::Table if status.mode == Mode::Off => eprintln!("limiterctl: nothing is attached"),
        output => output.print(&status, Status::table)?,
    }
    Ok(if status.mode == Mode::Off { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}
