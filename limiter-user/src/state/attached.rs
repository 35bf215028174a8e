//! What is attached, for whoever can do nothing without it.

use super::{OutboundState, State};
use crate::failure::Failure;

impl State {
    /// All of it.
    ///
    /// # Errors
    ///
    /// Where nothing is; as [`Self::load`].
    pub fn attached() -> anyhow::Result<Self> {
        let attached = Self::load()?.ok_or_else(|| {
            Failure::new(
                "nothing is attached",
                "limits are put in force with: limiterctl attach --interface eth0 --port 80 --rate '60/min burst 60'",
            )
        })?;
        Ok(attached)
    }

    /// All of it, where rules for ports are among it.
    ///
    /// # Errors
    ///
    /// Where none is; as [`Self::load`].
    pub fn with_ports() -> anyhow::Result<Self> {
        let attached = Self::load()?.filter(|state| !state.rules.is_empty()).ok_or_else(|| {
            Failure::new(
                "no rule is attached that a list could change",
                "attach one first: limiterctl attach --interface eth0 --port 80 --rate '900/min burst 60'",
            )
        })?;
        Ok(attached)
    }
}

impl OutboundState {
    /// What holds for destinations.
    ///
    /// # Errors
    ///
    /// Where nothing does; as [`State::load`].
    pub fn attached() -> anyhow::Result<Self> {
        let attached = State::load()?.and_then(|state| state.outbound).ok_or_else(|| {
            Failure::new(
                "nothing holds limits on destinations",
                "attach them first: limiterctl attach --cgroup shop.service --default-rate '10/s burst 10'",
            )
        })?;
        Ok(attached)
    }
}
