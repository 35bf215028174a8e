//! Where programs are that were built with the tests.

use std::env;
use std::path::PathBuf;

/// The path of a program. Programs lie in target/PROFILE, tests in `deps` below that.
#[track_caller]
pub(crate) fn path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let mut places = test.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    places
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("{name} is missing: cargo build -p limiter-user -p limiter-tests"))
}
