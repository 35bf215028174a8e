//! `limiterctl why` and `limiterctl unblock`.

use std::process::ExitCode;

use clap::Args;

use super::{NO, Output};
use crate::host;
use crate::unblock::Unblocked;
use crate::why::Why;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A name (google.com) or an address (192.0.2.1)
    target: String,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Says why it is refused.
pub fn why(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let why = Why::ask(&arguments.target)?;
    arguments.output.print(&why, Why::table)?;
    Ok(if why.refused { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// Gives it a fresh start, and says what came of it.
pub fn unblock(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let unblocked = Unblocked::free(&arguments.target)?;
    let is_freed = !unblocked.freed.is_empty();
    if arguments.output == Output::Json || is_freed || !unblocked.still.is_empty() {
        arguments.output.print(&unblocked, Unblocked::table)?;
    }
    if !is_freed {
        eprintln!("limiterctl: no bucket is held against {}", unblocked.target);
        return Ok(ExitCode::from(NO));
    }
    Ok(ExitCode::SUCCESS)
}
