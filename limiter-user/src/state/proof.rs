//! What was tried of the limits in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When the limits were tried last, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Proof {
    /// `2026-01-31T12:00:00.123Z`.
    pub at: String,
    /// What could not be tried, with the reason; the programs are there all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untried: Vec<String>,
    /// Why the limits do not hold, where they did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
