//! An error that a person can do something about.

use std::fmt;

/// What went wrong, in one line, and what to do, in another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// What went wrong.
    pub cause: String,
    /// What to do about it.
    pub cure: String,
}

impl Failure {
    /// Both lines; neither ends in a full stop.
    pub fn new(cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { cause: cause.into(), cure: cure.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}
