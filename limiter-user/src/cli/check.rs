//! `limiterctl check`.

mod warnings;
mod words;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::attach::order;
use super::{NO, Output};
use crate::config::file::{self, Config, Fault, Unusable, schema};
use crate::failure::Failure;
use warnings::Warning;

/// Say in words what a file would do, or where it is wrong
///
/// Nothing is attached, and no rights are needed. Exits with 1 where the file is wrong, and with 2 where it cannot be
/// read. What may be meant otherwise is warned of, and no error.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file
    #[arg(value_name = "FILE", default_value = file::PATH)]
    file: PathBuf,

    /// Print the JSON Schema of such files, from which editors complete and check them
    #[arg(long, conflicts_with_all = ["file", "output"])]
    schema: bool,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What is found; this is its JSON.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Checked {
    /// Whether `attach` would take the file.
    ok: bool,
    #[serde(flatten)]
    found: Found,
}

#[derive(Debug, JsonSchema, Serialize)]
#[serde(untagged)]
enum Found {
    /// What it would do.
    Right {
        /// As it was named.
        file: String,
        /// A line each.
        says: Vec<String>,
        /// What may be meant otherwise.
        warnings: Vec<Warning>,
    },
    /// Why it would not.
    Wrong(Box<Fault>),
}

/// Prints what the file would do.
pub async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    if arguments.schema {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&schema::schema())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let found = match file::load(&arguments.file).and_then(accepted) {
        Ok(config) => Found::Right {
            file: config.name().into(),
            says: words::of(&config),
            warnings: warnings::of(&config).await?,
        },
        Err(Unusable::Wrong(fault)) => Found::Wrong(fault),
        Err(Unusable::Unreadable(failure)) => return Err(failure.into()),
    };
    let ok = matches!(found, Found::Right { .. });
    match arguments.output {
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&Checked { ok, found })?)?,
        Output::Table => print(&mut stdout, found)?,
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// A file that `attach` accepts as well.
fn accepted(config: Config) -> Result<Config, Unusable> {
    match order::of(&config).and_then(|order| order.policy.entries()) {
        Ok(_) => Ok(config),
        Err(failure) => Err(Unusable::Wrong(config.fault(failure))),
    }
}

fn print(stdout: &mut impl io::Write, found: Found) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    match found {
        Found::Right { file, says, warnings } => {
            says.iter().try_for_each(|line| writeln!(stdout, "{line}"))?;
            stdout.flush()?;
            for Warning { line, column, message, cure } in warnings {
                writeln!(stderr, "limiterctl: warning: {file}:{line}:{column}: {message}\n  {cure}")?;
            }
            Ok(())
        }
        Found::Wrong(fault) => {
            let Failure { cause, cure } = fault.into();
            writeln!(stderr, "limiterctl: {cause}\n  {cure}")
        }
    }
}

#[cfg(test)]
mod tests;
