//! `limiterctl top`.

use std::process::ExitCode;

use clap::Args;

use super::NO;
use crate::{host, top};

/// Watch what passes and what is refused, live: rates, rules, sources, hosts, and who is in back-off
///
/// '?' explains the keys, 'q' quits. No daemon is needed.
///
/// Exits with 1 where nothing is attached.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Shows it until somebody quits.
pub async fn run(_: &Arguments) -> anyhow::Result<ExitCode> {
    host::check_privileges()?;
    if top::run().await? {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("limiterctl: nothing is attached");
    Ok(ExitCode::from(NO))
}
