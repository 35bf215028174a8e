//! The dependencies: licences, bans and sources always; advisories where their database can be reached.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::shell::cargo;

/// A database that cannot be fetched is said and passed over; an advisory that is found is a failure.
pub fn check(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    // This one downloads what is missing of the crates, so that the offline check below has them.
    cmd!(sh, "{cargo} deny check --hide-inclusion-graph licenses bans sources").run()?;

    match fetch_advisories(sh, &cargo)? {
        Fetch::Done => Ok(cmd!(sh, "{cargo} deny --offline check advisories").run()?),
        Fetch::Failed(reason) => {
            eprintln!("advisories: not checked: {reason}");
            Ok(())
        }
    }
}

enum Fetch {
    Done,
    Failed(String),
}

/// The fetch is a command of its own, because the check's exit code is the same for an unreachable database and for an
/// advisory.
fn fetch_advisories(sh: &Shell, cargo: &str) -> Result<Fetch> {
    let fetch =
        cmd!(sh, "env GIT_TERMINAL_PROMPT=0 timeout 60 {cargo} deny fetch db").ignore_status().output()?;
    Ok(match fetch.status.code() {
        Some(0) => Fetch::Done,
        // timeout(1)
        Some(124) => Fetch::Failed("no answer within 60 s".into()),
        _ => Fetch::Failed(reason(&String::from_utf8_lossy(&fetch.stderr))),
    })
}

/// The last line that says something; that of git, if git was the one to fail.
fn reason(stderr: &str) -> String {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.next_back().unwrap_or("cargo-deny did not say why");
    let git = stderr.lines().find_map(|line| line.trim().strip_prefix("fatal: "));
    git.unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn the_reason_is_one_line() {
        let git = "[ERROR] failed to fetch database: failed to clone\nCloning into 'x'...\n\
                   fatal: unable to access 'https://x/': Could not resolve host: x\n\n";
        assert_eq!(reason(git), "unable to access 'https://x/': Could not resolve host: x");
        assert_eq!(reason("[ERROR] disk full\n"), "[ERROR] disk full");
        assert_eq!(reason(""), "cargo-deny did not say why");
    }
}
