//! The page that a person sees: headings, words, commands and what they print.

use std::io::{self, Stdout, Write as _};

use anyhow::Result;

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
        self.print(output)
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

#[cfg(test)]
mod tests {
    use super::typed;

    #[test]
    fn each_line_of_a_command_has_a_prompt() {
        assert_eq!(typed("ls"), "$ ls");
        assert_eq!(typed("for i in 1 2; do\n  ls\ndone"), "$ for i in 1 2; do\n>   ls\n> done");
    }
}
