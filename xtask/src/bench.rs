//! `cargo xtask bench`: builds what measures, and runs it as root.

use std::env;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::setup::{self, Purpose};
use crate::shell::{as_root, cargo};
use crate::top;

#[derive(clap::Args)]
pub struct Args {
    /// Only whether a target that needs no network is missed by more than half; takes a minute and writes nothing
    #[arg(long)]
    quick: bool,

    /// How often each case is measured
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,

    /// Only these sections
    #[arg(long, value_name = "SECTIONS")]
    only: Option<String>,

    /// Where README.md, results.json and the plots are written, instead of docs/bench
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<String>,
}

pub fn run(sh: &Shell, args: &Args) -> Result<()> {
    setup::run(sh, if args.quick { Purpose::Test } else { Purpose::Bench })?;
    measure(sh, args)
}

/// The same on a machine that is set up already, in its short form.
pub fn quick(sh: &Shell) -> Result<()> {
    measure(sh, &Args { quick: true, rounds: None, only: None, out: None })
}

fn measure(sh: &Shell, args: &Args) -> Result<()> {
    let cargo = cargo();
    // With the profile of the tests: the programs for the kernel are the same in each, and they are what is measured.
    cmd!(sh, "{cargo} build --package limiter-user --package limiter-bench").run()?;
    if !args.quick && args.only.as_ref().is_none_or(|only| only.contains("footprint")) {
        // Only its size is measured.
        cmd!(sh, "{cargo} build --release --package limiter-user").run()?;
    }
    let target = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let bench = top().join(target).join("debug/limiter-bench");
    let mut arguments = Vec::new();
    if args.quick {
        arguments.push("--quick".to_owned());
    }
    let rounds = args.rounds.map(|rounds| rounds.to_string());
    for (name, value) in [("--rounds", &rounds), ("--only", &args.only), ("--out", &args.out)] {
        if let Some(value) = value {
            arguments.extend([name.to_owned(), value.clone()]);
        }
    }
    Ok(as_root(sh, &bench.to_string_lossy()).args(arguments).run()?)
}
