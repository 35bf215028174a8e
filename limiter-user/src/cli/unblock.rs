//! `limiterctl unblock`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::{NO, Output};
use crate::host;
use crate::unblock::Unblocked;

/// Give a source, a name or a destination that is refused its whole burst again, and end its back-off
///
/// Of an address, what is held against it as a source, and as a destination with each of its names. What is on the deny list
/// stays there, and open connections stay open; both are told.
///
/// Exits with 1 where nothing is held against it.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A name (google.com) or an address (192.0.2.1)
    target: String,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Does it, and says what came of it.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let unblocked = Unblocked::free(&arguments.target)?;
    let mut stdout = io::stdout().lock();
    if arguments.output == Output::Json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&unblocked)?)?;
    } else if !unblocked.freed.is_empty() || !unblocked.still.is_empty() {
        writeln!(stdout, "{}", unblocked.table())?;
    }
    if unblocked.freed.is_empty() {
        eprintln!("limiterctl: no bucket is held against {}", unblocked.target);
        return Ok(ExitCode::from(NO));
    }
    Ok(ExitCode::SUCCESS)
}
