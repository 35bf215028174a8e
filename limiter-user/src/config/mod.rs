//! Values as people write them: each module parses one kind, says where it stopped understanding, and writes it back.
//! `file` reads all of them together, out of limiterctl.toml.

pub mod duration;
pub mod errno;
pub mod file;
pub mod glob;
pub mod group;
pub mod host;
pub mod hostname;
pub mod network;
pub mod ports;
pub mod prefix;
pub mod rate;
pub mod target;

use crate::failure::Failure;

/// A failure that points at a part of what was typed.
///
/// `part` must be a slice of `text`: its position is told, counted from 1 in characters.
fn unreadable(text: &str, part: &str, what: &str, cure: &str) -> Failure {
    let bytes = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    let column = text[..bytes].chars().count() + 1;
    Failure::new(format!("'{text}': '{part}' at character {column} {what}"), cure)
}
