//! Format, spelling, lints and documentation.

use std::env;

use anyhow::{Result, anyhow};
use xshell::{Shell, cmd};

use crate::{shell::cargo, top};

pub fn format(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    Ok(cmd!(sh, "{cargo} fmt --all --check").run()?)
}

/// Only known misspellings are found, so a new word needs no entry anywhere.
pub fn spelling(sh: &Shell) -> Result<()> {
    let tracked = cmd!(sh, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let files: Vec<&str> = tracked
        .lines()
        .filter(|file| *file != "Cargo.lock" && !file.starts_with("LICENSE"))
        .filter(|file| top().join(file).is_file())
        .collect();
    // Neither echoed nor in the error: the list of files is long.
    let check = cmd!(sh, "codespell --ignore-words-list {NOT_MISSPELT}").args(&files);
    eprintln!("$ codespell --ignore-words-list {NOT_MISSPELT} ({} files)", files.len());
    check
        .quiet()
        .run()
        .map_err(|_| anyhow!("misspellings, listed above; a word that is right goes into NOT_MISSPELT"))
}

/// Words that codespell takes for misspellings of others, separated by commas.
const NOT_MISSPELT: &str = "crate,iif,atleast";

pub fn clippy(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    Ok(cmd!(sh, "{cargo} clippy --workspace --exclude limiter-ebpf --all-targets -- -D warnings").run()?)
}

/// The target directory is one of its own: the same crates, linted with other flags, would push each other out.
pub fn clippy_ebpf(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    let target_dir = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    Ok(cmd!(
        sh,
        "env RUSTC_BOOTSTRAP=1 {cargo} clippy --release --package limiter-ebpf
         --target bpfel-unknown-none -Z build-std=core --target-dir {target_dir}/clippy-ebpf -- -D warnings"
    )
    .run()?)
}

pub fn doc(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    Ok(cmd!(sh, "env RUSTDOCFLAGS=-Dwarnings {cargo} doc --no-deps --workspace --exclude limiter-ebpf")
        .run()?)
}
