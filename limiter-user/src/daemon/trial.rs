//! Limits on trial: `attach --for` takes them off again unless somebody confirms them, so that nobody locks himself out.

use std::future::pending;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::state::State;

/// Until when nobody has confirmed.
pub struct Trial {
    ends: Option<Instant>,
    confirmed: Signal,
}

impl Trial {
    /// Begins now, where there is a time at all.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn begin(time: Option<Duration>) -> anyhow::Result<Self> {
        let confirmed = signal(SignalKind::user_defined1()).context("cannot listen for signals")?;
        Ok(Self { ends: time.map(|time| Instant::now() + time), confirmed })
    }

    /// Comes back when the time is over, and never once it was confirmed.
    pub async fn over(&mut self) {
        loop {
            let Some(ends) = self.ends else { return pending().await };
            tokio::select! {
                () = sleep_until(ends) => return,
                _ = self.confirmed.recv() => self.confirm(),
            }
        }
    }

    fn confirm(&mut self) {
        let noted = State::load()
            .and_then(|state| state.map_or(Ok(()), |state| State { detaches_at: None, ..state }.save()));
        match noted {
            Ok(()) => self.ends = None,
            Err(error) => eprintln!("limiterctl: cannot note that the limits are confirmed: {error:#}"),
        }
    }
}

impl State {
    /// Writes it, but for what somebody may have confirmed meanwhile.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub(super) fn save_beside_trial(&mut self) -> anyhow::Result<()> {
        self.detaches_at = Self::load()?.and_then(|state| state.detaches_at);
        self.save()
    }
}
