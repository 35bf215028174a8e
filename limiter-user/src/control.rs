//! The control socket: HTTP/1.1 and JSON for root, on `/run/limiterctl/control.sock`. docs/openapi.json describes it.
//! Beside it that of applications, in `app.rs`.

mod app;
mod client;
mod events;
mod peer;
mod server;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::failure::Failure;

pub use app::{App, Prepared};
pub use client::{Answer, Events, events, reload};
pub use server::Control;

const SOCKET: &str = "/run/limiterctl/control.sock";

/// What a reload is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Only to tell what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a reload changed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Reloaded {
    /// A line for each change; none where nothing is different.
    pub changes: Vec<String>,
    /// Whether it was only asked.
    pub dry_run: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub cause: String,
    /// What to do about it; nothing where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// A request that the daemon's loop has to answer.
pub struct Request {
    /// What is asked for.
    pub reload: ReloadRequest,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Reloaded, Problem>>,
}

impl From<&anyhow::Error> for Problem {
    fn from(error: &anyhow::Error) -> Self {
        let cure = error.downcast_ref::<Failure>().map(|failure| failure.cure.clone());
        Self { cause: format!("{error:#}"), cure }
    }
}
