//! `limiterctl confirm`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::NO;
use crate::failure::Failure;
use crate::host;
use crate::state::{Lock, State};

/// How long the daemon gets to hear of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keep what `attach --for` would take off by itself
///
/// Exits with 1 where nothing waits for it.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Tells the daemon, and waits until it has noted it.
pub async fn run(_: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let waits = || State::load().map(|state| state.is_some_and(|state| state.detaches_at.is_some()));
    let (Some(daemon), true) = (Lock::holder()?, waits()?) else {
        eprintln!("limiterctl: nothing waits for it");
        return Ok(ExitCode::from(NO));
    };
    daemon.confirm()?;
    let deadline = Instant::now() + PATIENCE;
    while waits()? {
        if Instant::now() > deadline {
            return Err(Failure::new(
                format!("process {} does not answer", daemon.pid),
                "see whether it still runs: limiterctl status",
            )
            .into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    println!("limiterctl: confirmed, the limits stay");
    Ok(ExitCode::SUCCESS)
}
