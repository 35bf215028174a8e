//! `limiterctl events`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::Output;
use crate::control::{self, Events};
use crate::events::{Event, What};
use crate::failure::Failure;
use crate::host;

/// Show what was refused lately, and what has changed
///
/// The daemon keeps the last 1,000 events. Of who is refused all the time it learns once a second; all refusals are counted, and
/// told by 'status'.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Go on with what happens from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Only events of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,

    /// How to print them; json is an object a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// What was refused.
    Refusal,
    /// What was attached, reloaded, detached and so on.
    State,
}

/// Prints the events.
pub async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    // Before anything is printed: who reads that may interrupt at once.
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let Some(mut events) = control::events(arguments.follow).await? else {
        return Err(Failure::new(
            "no daemon runs, which would keep events",
            "start one: limiterctl attach; counters without one: limiterctl status",
        )
        .into());
    };
    tokio::select! {
        result = print(&mut events, arguments) => result?,
        _ = interrupts.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn print(events: &mut Events, arguments: &Arguments) -> anyhow::Result<()> {
    while let Some(line) = events.next().await? {
        let event: Event = serde_json::from_str(&line).context("cannot read what the daemon told")?;
        if arguments.kind.is_some_and(|kind| !is_of(kind, &event)) {
            continue;
        }
        let mut stdout = io::stdout().lock();
        match arguments.output {
            Output::Json => writeln!(stdout, "{line}")?,
            Output::Table => writeln!(stdout, "{}", event.line())?,
        }
        stdout.flush()?;
    }
    if arguments.follow {
        return Err(Failure::new(
            "the daemon has ended",
            "its limits may hold all the same: limiterctl status; events come with the next one: limiterctl attach",
        )
        .into());
    }
    Ok(())
}

/// What was lost may have been of any kind.
const fn is_of(kind: Kind, event: &Event) -> bool {
    match event.what {
        What::Refusal(_) => matches!(kind, Kind::Refusal),
        What::State { .. } => matches!(kind, Kind::State),
        What::Lost { .. } => true,
    }
}
