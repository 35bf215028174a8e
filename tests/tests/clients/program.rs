//! The programs of `tests/clients`, run in the limited cgroup.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use limiter_tests::net::Sandbox;
use serde::Deserialize;

use crate::Setting;

/// Debian's own, which has the modules; another may come first in `PATH`.
pub const PYTHON: &str = "/usr/bin/python3";

/// What came of one attempt.
#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    pub ok: bool,
    pub error_type: String,
    pub errno: Option<i32>,
    pub message: String,
}

/// A program and what comes before NAME PORT COUNT.
pub struct Program {
    words: Vec<OsString>,
    /// For those that do not read resolv.conf.
    server: Option<&'static str>,
}

impl Program {
    /// A script of `tests/clients`.
    pub fn script(interpreter: &str, name: &str) -> Self {
        Self { words: vec![interpreter.into(), source(name).into()], server: None }
    }

    pub fn binary(path: impl Into<OsString>) -> Self {
        Self { words: vec![path.into()], server: None }
    }

    /// It asks this DNS server, whatever the machine's is.
    pub fn asking(self, server: &'static str) -> Self {
        Self { server: Some(server), ..self }
    }

    /// Lets it try so often, and waits for its end. It must be able to say what came of each attempt.
    #[track_caller]
    pub fn run(&self, setting: &Setting, name: &str, count: usize) -> Vec<Attempt> {
        self.run_in(setting, &setting.machine.sandbox, name, count)
    }

    /// The same with other files, such as another resolv.conf.
    #[track_caller]
    pub fn run_in(&self, setting: &Setting, sandbox: &Sandbox, name: &str, count: usize) -> Vec<Attempt> {
        let mut command = setting.machine.host.command_in(sandbox, &self.words[0]);
        command.args(&self.words[1..]).args([name, "80", &count.to_string()]).args(self.server);
        setting.cgroup.place(&mut command);
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| missing(&self.words[0].to_string_lossy(), &error));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}: {said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let attempts = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        let attempts: Vec<Attempt> = attempts.collect();
        assert_eq!(attempts.len(), count, "{said}");
        attempts
    }
}

/// A file of `tests/clients`.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Builds a C program against musl, statically.
#[track_caller]
pub fn build_with_musl(name: &str, directory: &Path) -> PathBuf {
    let program = directory.join("program");
    let built = Command::new("musl-gcc")
        .args(["-static", "-Wall", "-Werror", "-o"])
        .args([&program, &source(name)])
        .output()
        .unwrap_or_else(|error| missing("musl-gcc", &error));
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

#[track_caller]
pub fn missing(tool: &str, error: &std::io::Error) -> ! {
    assert!(error.kind() != ErrorKind::NotFound, "{tool} is missing: cargo xtask setup");
    panic!("{tool}: {error}")
}
