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
mod top;
pub(crate) mod translate;
mod unblock;
mod why;

use std::process::ExitCode;

use crate::bpf::lists::List;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
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
    Why(why::Arguments),
    Unblock(unblock::Arguments),
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
            Verb::Why(arguments) => why::run(&arguments),
            Verb::Unblock(arguments) => unblock::run(&arguments),
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
