//! Commands that others have written, and what they say.

use std::env;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Makes sure that commands are there.
pub fn need(names: &[&str]) -> anyhow::Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_missing = |name: &&&str| !env::split_paths(&path).any(|folder| folder.join(name).exists());
    let missing: Vec<_> = names.iter().filter(is_missing).copied().collect();
    ensure!(
        missing.is_empty(),
        "there is no {} here; install it with 'cargo xtask setup --for bench'",
        missing.join(", no ")
    );
    Ok(())
}

/// Runs a command to its end and returns what it prints.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} does not start"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", complaint.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// The first number that follows a word.
pub fn number_after(text: &str, word: &str) -> anyhow::Result<u64> {
    let number = text
        .split_once(word)
        .and_then(|(_, rest)| rest.split_whitespace().find_map(|word| word.parse().ok()));
    number.with_context(|| format!("no number after '{word}' in: {text}"))
}
