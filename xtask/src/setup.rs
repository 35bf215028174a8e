//! `cargo xtask setup`: what the project needs on this machine, each thing skipped where it is there.

mod apt;
mod bpffs;
mod linker;
mod rust;
mod tools;

use anyhow::Result;
use clap::ValueEnum;
use xshell::Shell;

pub use {apt::Apt, rust::Rustc};

/// What the machine is made ready for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Purpose {
    /// Building limiterctl
    Build,
    /// Building it, and `cargo xtask demo`
    Demo,
    /// All of it, and `cargo xtask test`
    Test,
    /// All of it, and the firewalls that `limiter-bench` compares with
    Bench,
}

#[derive(clap::Args)]
pub struct Args {
    /// What the machine is made ready for; each includes the ones before it
    #[arg(long = "for", value_enum, default_value = "test")]
    pub purpose: Purpose,
}

/// Makes sure of everything that `purpose` needs, the compiler first and the slow things last.
pub fn run(sh: &Shell, purpose: Purpose) -> Result<()> {
    let rustc = Rustc::ask(sh)?;
    rust::ensure_sources(sh, &rustc)?;
    if purpose >= Purpose::Test {
        rust::ensure_components(sh)?;
    }

    let mut apt = apt::Apt::new(sh);
    apt.ensure_tools(purpose)?;
    linker::ensure(sh, &mut apt, &rustc)?;
    if purpose >= Purpose::Demo {
        bpffs::ensure(sh)?;
    }
    if purpose >= Purpose::Test {
        tools::ensure_cargo_deny(sh)?;
    }

    eprintln!("setup: ok");
    Ok(())
}
