//! limiterctl itself, as a person starts it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::net::{Host, LinkOptions, Sandbox, link};
use crate::programs;

/// Long enough for a machine that does something else meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the binary is: beside the tests' own.
pub fn binary() -> PathBuf {
    programs::path("limiterctl")
}

/// A host on which limiterctl is used: its files are private.
#[derive(Debug)]
pub struct Machine {
    /// Its network.
    pub host: Host,
    /// Its `/run` and bpffs.
    pub sandbox: Sandbox,
}

/// What a verb said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// What went to stdout.
    pub stdout: String,
    /// What went to stderr.
    pub stderr: String,
}

impl Machine {
    /// A machine without interfaces.
    pub fn new(name: &str) -> Self {
        Self { host: Host::new(name), sandbox: Sandbox::new() }
    }

    /// The scene of most tests: a server, and a client at the other end of its eth0, which is called so there as well.
    pub fn with_client(options: LinkOptions) -> (Self, Host) {
        let (server, client) = (Self::new("server"), Host::new("client"));
        link(&client, "eth0", &server.host, "eth0", options);
        (server, client)
    }

    /// A command to be run there.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command_in(&self.sandbox, binary());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end. One that does not end, as an `attach` that should have failed, is killed and fails the test.
    #[track_caller]
    pub fn limiterctl(&self, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("limiterctl starts");
        let pid = Pid::from_raw(child.id() as i32);
        let (end, output) = channel();
        thread::spawn(move || end.send(child.wait_with_output().expect("a child can be waited for")));
        if let Ok(output) = output.recv_timeout(PATIENCE) {
            return output.into();
        }
        // It may have ended by itself just now.
        let _ = kill(pid, Signal::SIGKILL);
        let said = output.recv().map(Said::from);
        panic!("limiterctl {arguments:?} did not end in {PATIENCE:?}: {said:?}");
    }

    /// What `limiterctl status --output json` says.
    #[track_caller]
    pub fn status(&self) -> Value {
        let said = self.limiterctl(&["status", "--output", "json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    /// Starts `limiterctl attach`, and comes back when it says that it has.
    #[track_caller]
    pub fn attach(&self, arguments: &[&str]) -> Daemon {
        let mut command = self.command(&["attach"]);
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("limiterctl starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (line, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| line.send(l))
        });
        let mut daemon = Daemon { child, lines, said: Vec::new() };
        // The rules are what it says last.
        if daemon.wait_for("; over it: ").is_err() {
            let (status, stderr) = daemon.end();
            panic!("limiterctl attach {arguments:?} ended with {status}: {stderr}");
        }
        daemon
    }

    /// Whether anything of limiterctl's is pinned.
    pub fn has_pins(&self) -> bool {
        self.sandbox.run(|| PathBuf::from("/sys/fs/bpf/limiterctl").exists())
    }

    /// The XDP program on an interface, in ip's words; empty where there is none.
    pub fn xdp(&self, interface: &str) -> String {
        let link = self.host.ip(&format!("-details link show {interface}"));
        link.lines().filter(|line| line.contains("xdp")).collect()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A running `limiterctl attach`. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    pub said: Vec<String>,
}

impl Daemon {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads on until a line contains this; an error where it ends first.
    ///
    /// # Errors
    ///
    /// When its stdout closes.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) -> Result<(), RecvTimeoutError> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push(line);
                    if self.said.last().is_some_and(|line| line.contains(part)) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("it never said '{part}': {:?}", self.said),
                Err(error) => return Err(error),
            }
        }
    }

    /// What it has said so far, without waiting for more.
    pub fn heard(&mut self) -> &[String] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    /// Sends it a signal and waits for its end; what it said on stderr comes along.
    #[track_caller]
    pub fn signal(mut self, signal: Signal) -> (ExitStatus, String) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
        self.end()
    }

    /// Waits for its end, which something else brings about.
    #[track_caller]
    pub fn wait(mut self) -> (ExitStatus, String) {
        self.end()
    }

    fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("a child can be waited for");
        self.said.extend(self.lines.iter());
        let mut stderr = String::new();
        if let Some(pipe) = &mut self.child.stderr {
            pipe.read_to_string(&mut stderr).expect("it says something readable");
        }
        (status, stderr)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
