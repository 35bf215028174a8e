//! Reads a whole message in plain loops, by the very steps that the kernel takes one by one through `bpf_loop`.

use super::{Header, MAX_MESSAGE, MAX_STEPS, Record, Step, Unread, Walk};
use crate::name::{MAX_LABELS, MAX_NAME, NameHash, NameSecret};
use crate::outbound::DEFAULT_RULE;

/// The rule that lists a pattern, by its key; see [`NameHash::exact_key`] and [`NameHash::wildcard_key`].
pub trait Patterns {
    /// Its number.
    fn rule(&self, key: u64) -> Option<u32>;
}

impl<F: Fn(u64) -> Option<u32>> Patterns for F {
    fn rule(&self, key: u64) -> Option<u32> {
        self(key)
    }
}

/// The name that a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What the header says.
    pub header: Header,
    /// The hash of the name.
    pub name: NameHash,
    /// The number of its rule.
    pub rule: u32,
}

/// Reads the question.
///
/// # Errors
///
/// Why it cannot be read.
pub fn question(
    walk: &mut Walk,
    message: &[u8],
    secret: &NameSecret,
    patterns: &impl Patterns,
) -> Result<Asked, Unread> {
    let length = message.len().min(MAX_MESSAGE);
    if length == 0 {
        return Err(Unread::Truncated);
    }
    walk.buffer()[..length].copy_from_slice(&message[..length]);
    let header = walk.begin(length as u32)?;
    for _ in 0..=MAX_NAME {
        if walk.question_step(secret) == Step::End {
            break;
        }
    }
    let question = walk.question()?;
    let (mut name, mut rule) = (NameHash::ROOT, DEFAULT_RULE);
    for count in 0..question.labels.min(MAX_LABELS as u32) {
        name = walk.fold(secret, name, count);
        let is_whole = count + 1 == question.labels;
        let key = if is_whole { name.exact_key() } else { name.wildcard_key() };
        rule = patterns.rule(key).unwrap_or(rule);
    }
    Ok(Asked { header, name, rule })
}

/// Reads the records behind a question.
///
/// # Errors
///
/// Why they cannot all be read; those before have been passed on.
pub fn records(walk: &mut Walk, mut learn: impl FnMut(Record)) -> Result<(), Unread> {
    let all = walk.limit_records();
    for _ in 0..=MAX_STEPS {
        match walk.record_step() {
            Step::More => {}
            Step::Address(record) => learn(record),
            Step::End => break,
        }
    }
    walk.failure()?;
    all
}
