//! `limiterctl man`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

/// Print the manual, or write a page for each verb into a directory
///
/// Without a directory the page of limiterctl itself is printed: limiterctl man | man -l -
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the pages go; it must be there
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Prints one page, or writes all.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Nobody reads a page for `help`.
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    match &arguments.directory {
        Some(directory) => write_all(&command, "limiterctl", directory)?,
        None => io::stdout().lock().write_all(&page(&command, "limiterctl")?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of a command and of all below it: `limiterctl-deny-add.1`.
fn write_all(command: &Command, name: &str, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page(command, name)?).with_context(|| format!("cannot write {}", path.display()))?;
    command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .try_for_each(|verb| write_all(verb, &format!("{name}-{}", verb.get_name()), directory))
}

fn page(command: &Command, name: &str) -> anyhow::Result<Vec<u8>> {
    let (man, has_examples) =
        (Man::new(command.clone()).title(name).source(SOURCE), command.get_after_help().is_some());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if has_examples {
        let mut section = Vec::new();
        man.render_extra_section(&mut section)?;
        examples(&String::from_utf8(section)?, &mut page)?;
    }
    page.extend_from_slice(EXIT_CODES.as_bytes());
    Ok(page)
}

/// What stands behind the help, where each indented line is to stay a line of its own.
fn examples(section: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut is_example = false;
    for line in section.replace(".SH EXTRA", ".SH EXAMPLES").lines() {
        if line.starts_with(' ') != is_example {
            is_example = !is_example;
            writeln!(page, "{}", if is_example { ".EX" } else { ".EE" })?;
        }
        writeln!(page, "{line}")?;
    }
    if is_example { writeln!(page, ".EE") } else { Ok(()) }
}

const SOURCE: &str = concat!("limiterctl ", env!("CARGO_PKG_VERSION"));
const EXIT_CODES: &str = ".SH EXIT STATUS
0 for yes and done, 1 for a negative answer, 2 for a failure, with its cause on one line of standard error and its cure on the
next.
";
