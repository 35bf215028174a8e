//! What is wrong with a file, and where.

use std::fmt::Write as _;
use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

use super::at::At;
use crate::failure::Failure;

/// How much of a line is shown, in characters.
const MAX_EXCERPT: usize = 100;
/// How much of a message: it may quote what the file says, and that may be long.
const MAX_MESSAGE: usize = 400;

/// Something wrong, at a place of a file; this is its JSON.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}{excerpt}")]
pub struct Fault {
    /// As it was named.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right.
    pub cure: String,
    /// The line, and below it carets under what is wrong; empty, or it begins with a line feed.
    #[serde(skip)]
    pub excerpt: String,
}

/// Something wrong with these bytes of a text.
#[derive(Debug)]
pub struct Wrong {
    /// Which bytes.
    pub span: Range<usize>,
    /// What, and what would be right.
    pub failure: Failure,
}

/// A value, or what is wrong with it.
pub type Checked<T> = Result<T, Wrong>;

/// A file's name and text.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// As it was named.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Wrong {
    /// At a span; neither line ends in a full stop.
    pub fn new(span: Range<usize>, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { span, failure: Failure::new(cause, cure) }
    }
}

impl<T> At<T> {
    /// Something wrong with this value.
    pub fn wrong(&self, cause: impl Into<String>, cure: impl Into<String>) -> Wrong {
        Wrong::new(self.span(), cause, cure)
    }

    /// Finds out what is said here; what is wrong with that is wrong at this place.
    pub fn read<U>(&self, read: impl FnOnce(&T) -> Result<U, Failure>) -> Checked<At<U>> {
        match read(self) {
            Ok(value) => Ok(self.with(value)),
            Err(failure) => Err(Wrong { span: self.span(), failure }),
        }
    }
}

impl Source {
    /// The same, with its place in the file.
    pub fn fault(&self, wrong: Wrong) -> Box<Fault> {
        let (line, column) = self.place(wrong.span.start);
        let Wrong { span, failure } = wrong;
        Box::new(Fault {
            file: self.name.clone(),
            line,
            column,
            message: shortened(&failure.cause),
            cure: shortened(&failure.cure),
            excerpt: self.excerpt(&span),
        })
    }

    /// Line and column of a byte, both counted from 1.
    pub fn place(&self, byte: usize) -> (usize, usize) {
        let byte = self.text.floor_char_boundary(byte);
        let before = &self.text[..byte];
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[begin..].chars().count() + 1)
    }

    fn excerpt(&self, span: &Range<usize>) -> String {
        let (line, column) = self.place(span.start);
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        let wrong = self.text.get(span.clone()).unwrap_or_default();
        // Of a span over several lines, the first.
        let width = wrong.split('\n').next().unwrap_or_default().trim_end().chars().count();
        let skipped = column.saturating_sub(MAX_EXCERPT / 2 + 1);
        let shown: String = text.chars().skip(skipped).take(MAX_EXCERPT).map(printable).collect();
        let margin = line.to_string();
        let mut excerpt = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            excerpt,
            "\n  {margin} | {shown}\n  {:blank$} | {:indent$}{}",
            "",
            "",
            "^".repeat(width.clamp(1, MAX_EXCERPT / 2)),
            blank = margin.len(),
            indent = column - 1 - skipped,
        );
        excerpt
    }
}

/// One line that does nothing to a terminal.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_MESSAGE).map(printable).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        short.push('…');
    }
    short
}

fn printable(letter: char) -> char {
    match letter {
        '\t' => ' ',
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        letter => letter,
    }
}

impl From<Box<Fault>> for Failure {
    fn from(fault: Box<Fault>) -> Self {
        Self { cause: fault.to_string(), cure: fault.cure }
    }
}
