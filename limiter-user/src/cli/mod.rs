//! The command line: a file a verb.
//!
//! Exit codes: 0 for yes and done, 1 for a negative answer, 2 for a failure.

mod attach;
mod check;
mod completions;
mod confirm;
mod detach;
mod events;
mod list;
mod man;
mod prefixes;
mod reload;
mod schemas;
mod status;
mod systemd;
mod target;
mod top;
pub(crate) mod translate;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::bpf::lists::List;
pub use schemas::schemas;

/// Limits how many connections a service gets, and how many it makes to each name.
#[derive(Debug, Parser)]
#[command(name = "limiterctl", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Attach(Box<attach::Arguments>),
    Detach(detach::Arguments),
    Check(check::Arguments),
    Reload(reload::Arguments),
    Status(status::Arguments),
    Top(top::Arguments),
    List(list::Arguments),
    Events(events::Arguments),
    /// Say why a name or an address is refused, by which limit, and until when
    ///
    /// Exits with 1 where it is not refused.
    Why(target::Arguments),
    /// Give a source, a name or a destination that is refused its whole burst again, and end its back-off
    ///
    /// Of an address, what is held against it as a source, and as a destination with each of its names. What is on the deny list
    /// stays there, and open connections stay open; both are told.
    ///
    /// Exits with 1 where nothing is held against it.
    Unblock(target::Arguments),
    /// Let prefixes pass, whatever the limits say; wins over deny
    Allow(prefixes::Arguments),
    /// Refuse prefixes, whatever the limits say
    Deny(prefixes::Arguments),
    Confirm(confirm::Arguments),
    Translate(translate::Arguments),
    Systemd(systemd::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

impl Output {
    /// Prints an answer.
    fn print<T: Serialize>(self, answer: &T, table: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(answer)?,
            Self::Table => table(answer),
        };
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }
}

/// Exit code of a negative answer.
const NO: u8 = 1;

/// Runs what the command line asks for.
///
/// # Errors
///
/// What `main` reports, with exit code 2.
pub fn run() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        match arguments.verb {
            Verb::Attach(arguments) => attach::run(*arguments).await,
            Verb::Check(arguments) => check::run(&arguments).await,
            Verb::Detach(arguments) => detach::run(&arguments).await,
            Verb::Reload(arguments) => reload::run(&arguments).await,
            Verb::Status(arguments) => status::run(&arguments),
            Verb::Top(arguments) => top::run(&arguments).await,
            Verb::List(arguments) => list::run(&arguments),
            Verb::Events(arguments) => events::run(&arguments).await,
            Verb::Why(arguments) => target::why(&arguments),
            Verb::Unblock(arguments) => target::unblock(&arguments),
            Verb::Allow(arguments) => prefixes::run(List::Allow, &arguments),
            Verb::Deny(arguments) => prefixes::run(List::Deny, &arguments),
            Verb::Confirm(arguments) => confirm::run(&arguments).await,
            Verb::Translate(arguments) => translate::run(arguments),
            Verb::Systemd(arguments) => systemd::run(&arguments),
            Verb::Completions(arguments) => completions::run(&arguments),
            Verb::Man(arguments) => man::run(&arguments),
        }
    })
}

/// The whole command line, as its completions and its manual are made from it.
pub fn command() -> clap::Command {
    let mut command = Arguments::command();
    command.build();
    command
}
