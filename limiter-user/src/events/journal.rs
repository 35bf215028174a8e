//! Refusals in systemd's journal, with fields to look for them by. What changes is there already: the daemon prints it.

use std::env;
use std::thread;

use anyhow::Context as _;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

use super::bus::{self, Line};
use super::{Event, Refusal, What};
use crate::clock;

/// What each field's name begins with.
const PREFIX: &str = "LIMITERCTL";

/// Brings refusals there from now on, where this process's output goes there as well (systemd.exec(5), `$JOURNAL_STREAM`).
///
/// # Errors
///
/// Where the journal is not there.
pub fn begin() -> anyhow::Result<()> {
    if env::var_os("JOURNAL_STREAM").is_none() {
        return Ok(());
    }
    let layer =
        tracing_journald::layer().context("the journal takes no events; counters have every refusal")?;
    let layer = layer.with_field_prefix(Some(PREFIX.into())).with_syslog_identifier("limiterctl".into());
    tracing::subscriber::set_global_default(Registry::default().with(layer))?;
    let events = bus::listen();
    // A journal that takes its time has this thread wait, and the daemon goes on.
    thread::Builder::new().name("journal".into()).spawn(move || bring(events))?;
    Ok(())
}

fn bring(mut events: Receiver<Line>) {
    loop {
        let event = match events.blocking_recv() {
            Ok(line) => serde_json::from_str(&line).ok(),
            Err(RecvError::Lagged(count)) => Some(Event::at(clock::now(), What::Lost { count })),
            Err(RecvError::Closed) => return,
        };
        match event.map(|event| event.what) {
            Some(What::Refusal(refusal)) => refused(&refusal),
            Some(What::Lost { count }) => {
                tracing::warn!(kind = "lost", count, "{count} events came too fast for the journal");
            }
            Some(What::State { .. }) | None => {}
        }
    }
}

fn refused(refusal: &Refusal) {
    let Refusal { direction, rule, reason, address, port, source, host, monitor, retry_after_ms } = refusal;
    tracing::info!(
        kind = "refusal",
        direction = direction.as_str(),
        rule,
        reason,
        %address,
        port,
        source,
        host,
        monitor,
        retry_after_ms,
        "{}",
        refusal.line()
    );
}
