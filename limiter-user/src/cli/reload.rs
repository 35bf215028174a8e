//! `limiterctl reload`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::{NO, Output};
use crate::control::{self, Answer, ReloadRequest};
use crate::failure::Failure;
use crate::host;

/// Put in force what the configuration says now: all of it, or nothing
///
/// No count, bucket or back-off is lost, and no packet is unjudged. Exits with 1 where no daemon runs.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only tell what would change
    #[arg(long)]
    dry_run: bool,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Asks the daemon.
pub async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let reloaded = match control::reload(ReloadRequest { dry_run: arguments.dry_run }).await? {
        Answer::Done(reloaded) => reloaded,
        Answer::NoDaemon => {
            eprintln!("limiterctl: no daemon runs");
            return Ok(ExitCode::from(NO));
        }
        Answer::Refused(problem) => {
            let cure = problem.cure.unwrap_or_else(|| "everything is as it was; try again".into());
            return Err(Failure::new(problem.cause, cure).into());
        }
    };
    let mut stdout = io::stdout().lock();
    match arguments.output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&reloaded)?)?,
        Output::Table => {
            let done = match (reloaded.changes.is_empty(), reloaded.dry_run) {
                (true, _) => "nothing is different",
                (false, true) => "this would change",
                (false, false) => "reloaded",
            };
            writeln!(stdout, "limiterctl: {done}")?;
            for change in &reloaded.changes {
                writeln!(stdout, "  {change}")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
