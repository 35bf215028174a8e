//! `limiterctl translate`.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser as _, ValueEnum};

use super::{NO, Verb};
use crate::daemon::Order;
use crate::failure::Failure;
use crate::interface;
use crate::translate::{self, Defaults, Input, Translation};

/// In place of a rule: standard input.
const STDIN: &str = "-";

/// Print the limiterctl attach that is equal to rules of iptables or nft
///
/// Each argument is one whole rule, in quotes. Rules about the same ports become one command: connlimit and hashlimit,
/// or what is for IPv4 and what is for IPv6. Where the command is not quite the same, a line before it says so. What has no
/// equal is refused with the reason, and then nothing is translated.
///
/// With '-' rules are read from standard input, a line each, as iptables-save, iptables -S and nft list ruleset print
/// them. There, rules that limit nothing stay where they are.
///
/// Exits with 1 where a rule has no equal, or none limits anything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:

  limiterctl translate 'iptables -A INPUT -p tcp --syn --dport 80 -m connlimit \\
      --connlimit-above 15 --connlimit-mask 32 -j REJECT --reject-with tcp-reset'
  limiterctl translate 'nft add rule inet filter input tcp dport 80 ct state new \\
      add @connlimit { ip saddr ct count over 15 } reject with tcp reset'
  sudo iptables-save | limiterctl translate -

With --output toml it prints the limits for /etc/limiterctl/limiterctl.toml.")]
pub struct Arguments {
    /// Rules, each in quotes; '-' is standard input
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<String>,

    /// Where the command is to hold; without it, where the rule says, or where the default route leads
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    interface: Vec<String>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// The command, for a shell.
    #[default]
    Table,
    /// For programs.
    Json,
    /// The same limits for limiterctl.toml.
    Toml,
}

/// Prints the command.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let lines = if arguments.rules.iter().any(|rule| rule == STDIN) {
        let mut lines = Vec::new();
        io::stdin().read_to_end(&mut lines).context("cannot read standard input")?;
        String::from_utf8_lossy(&lines).into_owned()
    } else {
        String::new()
    };
    let input = |rule| if rule == STDIN { Input::Lines(&lines) } else { Input::Rule(rule) };
    let inputs: Vec<_> = arguments.rules.iter().map(String::as_str).map(input).collect();
    let defaults = Defaults { interfaces: arguments.interface, route: interface::of_default_route() };
    let translation = translate::translate(&inputs, &defaults, accepts)?;
    match arguments.output {
        Output::Json => writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(&translation)?)?,
        Output::Table => print(&translation, translation.line().as_deref())?,
        Output::Toml => print(&translation, translation.file.as_deref().map(str::trim_end))?,
    }
    Ok(if translation.command.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// Whether `attach` takes a command: the very checks that it begins with.
pub fn accepts(command: &[String]) -> Result<(), Failure> {
    order(command)?.policy.entries().map(drop)
}

/// What a command has `attach` do.
pub fn order(command: &[String]) -> Result<Order, Failure> {
    let arguments = super::Arguments::try_parse_from(command).map_err(|error| {
        let text = error.to_string();
        let cause = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Failure::new(format!("attach would refuse it: {cause}"), "see limiterctl attach --help")
    })?;
    match arguments.verb {
        Verb::Attach(arguments) => arguments.check(),
        _ => Err(Failure::new("it is no limiterctl attach", "see limiterctl attach --help")),
    }
}

/// A script or a file: what is not quite the same is a comment, in either.
fn print(translation: &Translation, text: Option<&str>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    for note in &translation.notes {
        writeln!(stdout, "# {note}")?;
    }
    if let Some(text) = text {
        writeln!(stdout, "{text}")?;
    }
    stdout.flush()?;
    let mut stderr = io::stderr().lock();
    for refused in &translation.refused {
        writeln!(stderr, "limiterctl: {}: {}\n  {}", refused.rule, refused.reason, refused.cure)?;
    }
    if !translation.stays.is_empty() {
        let stays = translation.stays.join(", ");
        writeln!(stderr, "limiterctl: what limits nothing stays where it is: {stays}")?;
    }
    if translation.command.is_none() && translation.refused.is_empty() {
        writeln!(stderr, "limiterctl: no rule limits connections")?;
    }
    Ok(())
}

/// What a file has `attach` do, where `check` finds nothing wrong with it.
#[cfg(test)]
pub fn order_of_file(text: &str) -> Result<Order, Failure> {
    let config = crate::config::file::parse("translated.toml", text.as_bytes()).map_err(Failure::from)?;
    let order = super::attach::order::of(&config)?;
    order.policy.entries().map(|_| order)
}
