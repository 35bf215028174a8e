//! The Rust toolchain: its version, the sources of `core` for the BPF target, rustfmt and clippy.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

use crate::shell::{cargo, find_command, rustc, step};

/// What the compiler says about itself.
pub struct Rustc {
    /// Its LLVM's major version; the BPF linker's must not be older.
    pub llvm: u32,
    /// The target that it builds for unless told otherwise.
    pub host: String,
    /// The root of the toolchain.
    sysroot: PathBuf,
}

impl Rustc {
    pub fn ask(sh: &Shell) -> Result<Self> {
        let rustc = rustc();
        let about = cmd!(sh, "{rustc} -vV").quiet().read()?;
        let llvm =
            field(&about, "LLVM version").and_then(major).context("`rustc -vV` names no LLVM version")?;
        let host = field(&about, "host").context("`rustc -vV` names no host")?.to_owned();
        let sysroot = cmd!(sh, "{rustc} --print sysroot").quiet().read()?.into();
        Ok(Self { llvm, host, sysroot })
    }
}

/// `core` is built for the BPF target from its sources: there is no ready-made one.
pub fn ensure_sources(sh: &Shell, rustc: &Rustc) -> Result<()> {
    if rustc.sysroot.join("lib/rustlib/src/rust/library/core").exists() {
        return Ok(());
    }
    add_components(sh, "adding rust-src, from which `core` is built for the BPF target", &["rust-src"])
}

/// Formatter and linter, which rustup's minimal profile leaves out.
pub fn ensure_components(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    let is_there = |verb: &str| cmd!(sh, "{cargo} {verb} --version").quiet().ignore_stderr().read().is_ok();
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(verb, _)| !is_there(verb))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    add_components(sh, &format!("adding {} for the tests", missing.join(" and ")), &missing)
}

fn add_components(sh: &Shell, what: &str, components: &[&str]) -> Result<()> {
    if find_command(sh, "rustup").is_none() {
        bail!("rustup is not installed, and missing is: {}\n{DEBIAN_TOOLCHAIN}", components.join(", "));
    }
    step(what, &cmd!(sh, "rustup component add {components...}")).context(DEBIAN_TOOLCHAIN)
}

/// Debian's own compiler has the sources in a package, and the same LLVM.
const DEBIAN_TOOLCHAIN: &str = "\
Where rustup is missing or cannot fetch, Debian's own toolchain does as well:
    sudo apt-get install rustc-web cargo-web rust-web-src
    RUSTC=/usr/bin/rustc /usr/bin/cargo xtask setup
and then `RUSTC=/usr/bin/rustc /usr/bin/cargo` wherever the documentation says `cargo`.";

/// A field in the output of `rustc -vV`.
fn field<'a>(about: &'a str, name: &str) -> Option<&'a str> {
    about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{field, major};

    #[test]
    fn fields_are_read_from_what_rustc_says() {
        let about =
            "rustc 1.95.0 (59807616e 2026-04-14)\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.2\n";
        assert_eq!(field(about, "host"), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(field(about, "LLVM version"), Some("22.1.2"));
        assert_eq!(field(about, "LLVM"), None);
        assert_eq!(field("", "host"), None);
    }

    #[test]
    fn the_major_version_comes_first() {
        for (version, expected) in [("22.1.2", Some(22)), ("23", Some(23)), ("unknown", None), ("", None)] {
            assert_eq!(major(version), expected, "{version}");
        }
    }
}
