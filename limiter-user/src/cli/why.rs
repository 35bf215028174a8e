//! `limiterctl why`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::{NO, Output};
use crate::host;
use crate::why::Why;

/// Say why a name or an address is refused, by which limit, and until when
///
/// Exits with 1 where it is not refused.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A name (google.com) or an address (192.0.2.1)
    target: String,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the answer.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let why = Why::ask(&arguments.target)?;
    let mut stdout = io::stdout().lock();
    match arguments.output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&why)?)?,
        Output::Table => writeln!(stdout, "{}", why.table())?,
    }
    Ok(if why.refused { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}
