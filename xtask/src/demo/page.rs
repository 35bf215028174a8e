//! The page that a person sees: headings, words, commands and what they print.

use std::io::{self, Stdout, Write as _};

use anyhow::Result;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Of what does not fit.
const INDENT: usize = 2;

pub struct Page {
    out: Stdout,
    bold: bool,
}

impl Page {
    /// Only headings are ever more than plain text.
    pub fn new(bold: bool) -> Self {
        Self { out: io::stdout(), bold }
    }

    pub fn heading(&mut self, text: &str) -> Result<()> {
        let (on, off) = if self.bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.print(&format!("\n{on}{text}{off}\n"))
    }

    /// A paragraph or a picture; lines are broken by the caller.
    pub fn text(&mut self, text: &str) -> Result<()> {
        self.print(&format!("{text}\n"))
    }

    /// A command, as it is typed at a prompt.
    pub fn command(&mut self, command: &str) -> Result<()> {
        self.print(&format!("\n{}\n", typed(command)))
    }

    pub fn output(&mut self, output: &str) -> Result<()> {
        // As a terminal breaks lines, but between words.
        output.split_inclusive('\n').try_for_each(|line| self.print(&folded(line)))
    }

    fn print(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }
}

/// The shell's prompts before the first line and the others.
fn typed(command: &str) -> String {
    format!("$ {}", command.replace('\n', "\n> "))
}

/// A line that is longer than a terminal is wide goes on below, a little to the right.
fn folded(line: &str) -> String {
    let mut folded = String::new();
    let mut rest = line;
    while rest.trim_end().chars().count() > WIDTH - INDENT {
        let is_first = folded.is_empty();
        let width = if is_first { WIDTH } else { WIDTH - INDENT };
        let end = rest.char_indices().nth(width).map_or(rest.trim_end().len(), |(end, _)| end);
        let Some(space) = (end < rest.trim_end().len()).then(|| rest[..=end].rfind(' ')).flatten() else {
            break;
        };
        folded.extend([&rest[..space], "\n", &" ".repeat(INDENT)]);
        rest = &rest[space + 1..];
    }
    folded + rest
}

#[cfg(test)]
mod tests {
    use super::{folded, typed};

    #[test]
    fn each_line_of_a_command_has_a_prompt() {
        assert_eq!(typed("ls"), "$ ls");
        assert_eq!(typed("for i in 1 2; do\n  ls\ndone"), "$ for i in 1 2; do\n>   ls\n> done");
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        let fits = format!("{} abc\n", "x".repeat(76));
        assert_eq!(folded(&fits), fits);
        let long = format!("{} abcd\n", "x".repeat(76));
        assert_eq!(folded(&long), format!("{}\n  abcd\n", "x".repeat(76)));
        let one_word = "x".repeat(200);
        assert_eq!(folded(&one_word), one_word);
    }
}
