//! `limiterctl detach`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::NO;
use crate::bpf::Pins;
use crate::failure::Failure;
use crate::host;
use crate::state::{Lock, State};

/// How long a daemon gets to take its limits off.
const PATIENCE: Duration = Duration::from_secs(10);

/// Take all limits off, whether the daemon still runs or not
///
/// Exits with 1 where nothing was attached.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Ends the daemon, or removes what one left.
pub async fn run(_: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    let deadline = Instant::now() + PATIENCE;
    let mut told = None;
    // The lock is free once the daemon is gone; holding it, nobody else can attach meanwhile.
    let lock = loop {
        match Lock::take()? {
            Ok(lock) => break lock,
            Err(holder) if told != Some(holder) => {
                holder.terminate()?;
                told = Some(holder);
            }
            Err(holder) if Instant::now() > deadline => {
                return Err(Failure::new(
                    format!("process {} does not end", holder.pid),
                    format!("kill it (kill -9 {}) and run limiterctl detach again", holder.pid),
                )
                .into());
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    State::remove();
    let left = Pins::locate().remove()?;
    drop(lock);
    if told.is_none() && left == 0 {
        eprintln!("limiterctl: nothing was attached");
        return Ok(ExitCode::from(NO));
    }
    println!("limiterctl: detached");
    Ok(ExitCode::SUCCESS)
}
