//! Tools that cargo installs, and their versions.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::shell::{cargo, step};

/// The version that is installed; a newer one that is there already is kept.
const CARGO_DENY: &str = "0.20.2";

/// cargo-deny checks licences, bans, sources and advisories.
pub fn ensure_cargo_deny(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    let answer = cmd!(sh, "{cargo} deny --version").quiet().ignore_stderr().ignore_status().read()?;
    if is_at_least(&answer, CARGO_DENY) {
        return Ok(());
    }
    step(
        "building cargo-deny, which checks the dependencies (about three minutes)",
        &cmd!(sh, "{cargo} install cargo-deny --version {CARGO_DENY} --locked --force"),
    )
}

/// Whether a tool's answer to `--version` names a version that is `wanted` or newer.
pub fn is_at_least(answer: &str, wanted: &str) -> bool {
    version(answer) >= version(wanted)
}

/// The version in a text: the first word that looks like one.
fn version(answer: &str) -> Option<(u32, u32, u32)> {
    answer.split_whitespace().find_map(|word| {
        let mut numbers = word.split(['.', '-']).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn versions_compare_by_number() {
        for (answer, expected) in [
            ("bpf-linker 0.13.0\n", true),
            ("bpf-linker 0.13.1", true),
            ("bpf-linker 1.0.0-rc1 (abc)", true),
            ("bpf-linker 0.9.15", false),
            ("bpf-linker 0.12.99", false),
            ("bpf-linker", false),
            ("", false),
        ] {
            assert_eq!(is_at_least(answer, "0.13.0"), expected, "{answer}");
        }
    }
}
