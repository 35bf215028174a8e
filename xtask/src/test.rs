//! `cargo xtask test`: every check and test, in order, up to the first that fails.

mod dependencies;
mod leftovers;
mod lints;
mod product;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use xshell::Shell;

use crate::bench;
use crate::setup::{self, Purpose};

/// The steps, in the order in which they run: the quick ones and the ones that find most come first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// No unfinished code and no ignored tests
    Leftovers,
    /// cargo fmt
    Format,
    /// codespell
    Spelling,
    /// Lints of the host's crates
    Clippy,
    /// Lints of the kernel's crate, on the BPF target
    ClippyEbpf,
    /// Licences, bans, sources and advisories of the dependencies
    Dependencies,
    /// The documentation builds without a warning
    Doc,
    /// The product: limiterctl with the BPF object inside
    Build,
    /// Unit and property tests
    Unit,
    /// Packets through the kernel, in network namespaces; needs root
    Integration,
    /// What a packet costs, in the short form
    Bench,
}

#[derive(clap::Args)]
pub struct Args {
    /// Run only this step (may be given several times)
    #[arg(long = "step", value_enum)]
    steps: Vec<Step>,

    /// Let the tests that can take long take long: ten times as many mutated messages, for one
    #[arg(long)]
    soak: bool,
}

/// Sets the machine up and runs the steps.
pub fn run(sh: &Shell, args: &Args) -> Result<()> {
    let mut times = Vec::new();

    let start = headline("setup");
    setup::run(sh, Purpose::Test)?;
    times.push(("setup".to_owned(), start.elapsed()));

    for step in
        Step::value_variants().iter().filter(|step| args.steps.is_empty() || args.steps.contains(step))
    {
        let name = step.name();
        let start = headline(&name);
        step.run(sh, args.soak).with_context(|| {
            format!("the step `{name}` failed; to run it again:\n    cargo xtask test --step {name}\n")
        })?;
        times.push((name, start.elapsed()));
    }

    print_times(&times);
    if args.soak {
        eprintln!("\nOther kernels than this machine's are not among these: cargo xtask kernels");
    }
    Ok(())
}

impl Step {
    fn run(self, sh: &Shell, soak: bool) -> Result<()> {
        match self {
            Self::Leftovers => leftovers::check(sh),
            Self::Format => lints::format(sh),
            Self::Spelling => lints::spelling(sh),
            Self::Clippy => lints::clippy(sh),
            Self::ClippyEbpf => lints::clippy_ebpf(sh),
            Self::Dependencies => dependencies::check(sh),
            Self::Doc => lints::doc(sh),
            Self::Build => product::build(sh),
            Self::Unit => product::unit(sh),
            Self::Integration => product::integration(sh, soak),
            Self::Bench => bench::quick(sh),
        }
    }

    /// The step's name on the command line.
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn headline(name: &str) -> Instant {
    eprintln!("\n=== {name} ===");
    Instant::now()
}

fn print_times(times: &[(String, Duration)]) {
    let total: Duration = times.iter().map(|(_, time)| time).sum();
    eprintln!("\n=== all passed ===");
    for (name, time) in times {
        eprintln!("{name:<14}{:>7.1} s", time.as_secs_f64());
    }
    eprintln!("{:<14}{:>7.1} s", "total", total.as_secs_f64());
}
