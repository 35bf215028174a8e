//! Commands as a person types them: what is shown is what runs.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::hosts::Host;

/// Types commands.
pub struct Hands {
    limiterctl: PathBuf,
    xtask: PathBuf,
}

/// What a command printed, its errors included, and its exit code.
pub struct Printed {
    pub text: String,
    pub code: Option<i32>,
}

impl Hands {
    pub fn new(limiterctl: PathBuf) -> Result<Self> {
        Ok(Self { limiterctl, xtask: env::current_exe()? })
    }

    /// Types a command on a host, and waits for its end.
    pub fn run(&self, host: &Host, command: &str) -> Result<Printed> {
        self.start(host, command)?.end()
    }

    /// Types a command on a host, and does not wait.
    pub fn start(&self, host: &Host, command: &str) -> Result<Running> {
        // This is root already, and these are the programs just built.
        let script =
            command.replace("sudo limiterctl", "\"$LIMITERCTL\"").replace("cargo xtask", "\"$XTASK\"");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .env("LIMITERCTL", &self.limiterctl)
            .env("XTASK", &self.xtask)
            // Whatever proxy this machine uses, it knows nothing of these hosts.
            .env("no_proxy", "*")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        host.run(|| shell.spawn()).map(Running).with_context(|| format!("cannot run: {command}"))
    }
}

/// A command that runs.
pub struct Running(Child);

impl Running {
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    pub fn end(self) -> Result<Printed> {
        let output = self.0.wait_with_output()?;
        Ok(Printed { text: String::from_utf8_lossy(&output.stdout).into_owned(), code: output.status.code() })
    }
}

/// `limiterctl attach`, in a foreground of its own.
pub struct Daemon {
    shell: Child,
    said: BufReader<ChildStdout>,
}

impl Daemon {
    /// Passes on what it says, up to the line that begins with `last`.
    pub fn start(
        hands: &Hands,
        host: &Host,
        command: &str,
        last: &str,
        mut hear: impl FnMut(&str) -> Result<()>,
    ) -> Result<Self> {
        let Running(mut shell) = hands.start(host, command)?;
        let mut said = BufReader::new(shell.stdout.take().context("no pipe")?);
        loop {
            let mut line = String::new();
            if said.read_line(&mut line)? == 0 {
                bail!("limiterctl attach ended with {}", shell.wait()?);
            }
            hear(&line)?;
            if line.starts_with(last) {
                return Ok(Self { shell, said });
            }
        }
    }

    /// Waits for its end.
    pub fn end(mut self) -> Result<()> {
        self.said.read_to_string(&mut String::new())?;
        let status = self.shell.wait()?;
        ensure!(status.success(), "limiterctl attach ended with {status}");
        Ok(())
    }
}
