//! Decisions and types.
