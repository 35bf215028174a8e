//! The product and its tests.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::{
    setup::Rustc,
    shell::{cargo, is_root},
};

pub fn build(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    Ok(cmd!(sh, "{cargo} build --release").run()?)
}

pub fn unit(sh: &Shell) -> Result<()> {
    let cargo = cargo();
    Ok(cmd!(sh, "{cargo} test").run()?)
}

/// The tests start limiterctl, so it is built first. Only the test programs run as root, never the compiler.
pub fn integration(sh: &Shell, soak: bool) -> Result<()> {
    let cargo = cargo();
    cmd!(sh, "{cargo} build --package limiter-user").run()?;

    let mut test = cmd!(sh, "{cargo} test --package limiter-tests");
    if soak {
        test = test.env("LIMITER_SOAK", "1");
    }
    if !is_root() {
        test = test.env(runner_variable(&Rustc::ask(sh)?.host), "sudo -E");
    }
    Ok(test.run()?)
}

/// The variable that tells cargo how to start programs of this machine's target.
fn runner_variable(host: &str) -> String {
    format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_"))
}

#[cfg(test)]
mod tests {
    use super::runner_variable;

    #[test]
    fn the_runner_is_named_after_the_target() {
        assert_eq!(
            runner_variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
        );
    }
}
