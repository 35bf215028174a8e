//! What the service manager is told (`sd_notify(3)`); nobody is told anything where `NOTIFY_SOCKET` is not set.

use std::time::Duration;

use sd_notify::NotifyState;

use super::words;
use crate::state::State;

/// The limits are in force, or in force again.
pub fn ready(state: &State) {
    tell(&[NotifyState::Ready, NotifyState::Status(&in_force(state))]);
}

/// The configuration is read anew; [`ready`] says that this is over.
pub fn reloading() {
    // A manager that does not learn when (systemd before 253) does not ask either.
    let Ok(now) = NotifyState::monotonic_usec_now() else { return };
    tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration anew")]);
}

/// It ends; whether its limits stay.
pub fn stopping(limits_stay: bool) {
    let status = if limits_stay { "ending; the limits stay in force" } else { "taking the limits off" };
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// How often the watchdog is to be fed with [`alive`]: twice in the time after which it bites. `None` where there is none.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|time| time / 2).filter(|interval| !interval.is_zero())
}

/// The daemon's loop goes round.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// A manager that does not listen is no reason to end: the limits do not depend on it.
fn tell(news: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(news) {
        eprintln!(
            "limiterctl: warning: cannot tell the service manager: {error}\n  see what NOTIFY_SOCKET says"
        );
    }
}

/// What holds where, in a line: `limits in force on eth0, shop.service`.
fn in_force(state: &State) -> String {
    let places = words::places(state);
    if places.is_empty() {
        return "nothing to limit is there yet".into();
    }
    format!("limits in force{places}")
}
