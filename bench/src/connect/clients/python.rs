//! Python, and which of its modules are there.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// The interpreter that sees Debian's modules.
pub const PYTHON: &str = "/usr/bin/python3";
/// What it runs.
pub const CLIENT: &str = include_str!("client.py");

/// Makes sure that modules are there.
///
/// # Errors
///
/// Which one is not, or that there is no Python.
pub fn need(modules: &[&str]) -> anyhow::Result<()> {
    for module in modules {
        let mut command = Command::new(PYTHON);
        command.args(["-c", &format!("import {module}")]).stdin(Stdio::null()).stderr(Stdio::null());
        let status = command.status().with_context(|| format!("{PYTHON} does not start"))?;
        ensure!(
            status.success(),
            "{PYTHON} has no module {module}; install it with 'cargo xtask setup --for bench'"
        );
    }
    Ok(())
}
