//! Where programs are that were built with the tests.

use std::env;
use std::path::PathBuf;

/// The path of a program: beside the tests' own.
#[track_caller]
pub(crate) fn path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let directory = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
    let program = directory.join(name);
    assert!(
        program.exists(),
        "{} is missing: cargo build -p limiter-user -p limiter-tests",
        program.display()
    );
    program
}
