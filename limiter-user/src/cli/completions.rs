//! `limiterctl completions`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

/// Print what makes a shell complete verbs, flags and files
///
/// It is printed to standard output, to be saved where the shell looks for it.
#[derive(Debug, Args)]
#[command(after_help = "Where the shells look:

  limiterctl completions bash > /usr/share/bash-completion/completions/limiterctl
  limiterctl completions zsh > /usr/local/share/zsh/site-functions/_limiterctl
  limiterctl completions fish > ~/.config/fish/completions/limiterctl.fish")]
pub struct Arguments {
    /// For which shell
    #[arg(value_enum)]
    shell: ShellArgument,
}

/// The shells whose scripts are tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShellArgument {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let shell = match arguments.shell {
        ShellArgument::Bash => Shell::Bash,
        ShellArgument::Zsh => Shell::Zsh,
        ShellArgument::Fish => Shell::Fish,
    };
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    generate(shell, &mut super::Arguments::command(), "limiterctl", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
