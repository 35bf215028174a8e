//! What a person types to work on limiterctl: `cargo xtask setup`, `demo`, `test`, `bench`, `kernels` and `package`.
//!
//! Layout:
//! - [`setup`]: makes sure of what building, testing and showing need; one file a kind of thing.
//! - [`demo`]: shows limiterctl at work, on hosts of its own.
//! - [`connect`]: opens connections, for the demo and for people.
//! - [`visit`]: asks the demo's web application to ask other sites.
//! - [`mod@test`]: the steps of the test command, in order.
//! - [`mod@bench`]: what a packet and a connect cost.
//! - [`kernels`]: the kernels that are not this machine's, in a virtual machine.
//! - [`package`]: a package for Debian and what is built on it.
//! - [`shell`]: running commands, as root where needed, with an error that says what to do by hand.

mod bench;
mod connect;
mod demo;
mod kernels;
mod package;
mod setup;
mod shell;
mod test;
mod visit;

use std::{path::Path, process::ExitCode};

use clap::{Parser, Subcommand};

/// Sets up, tests and shows limiterctl.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make sure of what this project needs on this machine; what is there already is left alone
    Setup(setup::Args),
    /// Show what limiterctl does, inbound and outbound, on hosts made for the purpose
    Demo,
    /// The part of `demo` that runs in namespaces of its own
    #[command(hide = true)]
    DemoInside(demo::InsideArgs),
    /// Open TCP connections as fast as possible, and say what came of them
    Connect(connect::Args),
    /// Make the demo's web application fetch from other sites, and say what came of it
    #[command(hide = true)]
    Visit(visit::Args),
    /// Run every check and test, and stop at the first that fails
    Test(test::Args),
    /// Measure what a packet and a connect cost, and say which targets are met
    Bench(bench::Args),
    /// Build a package for Debian: limiterctl, its unit, manual, completions and documentation
    Package(package::Args),
    /// Boot other kernels in a virtual machine, and try limiterctl on each
    Kernels(kernels::Args),
    /// The part of `kernels` that runs in the virtual machine
    #[command(hide = true)]
    KernelsInside(kernels::InsideArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let sh = shell::open(top())?;
    match &cli.verb {
        Verb::Setup(args) => setup::run(&sh, args.purpose),
        Verb::Demo => demo::run(&sh),
        Verb::DemoInside(args) => demo::inside(args),
        Verb::Connect(args) => connect::run(args),
        Verb::Visit(args) => visit::run(args),
        Verb::Test(args) => test::run(&sh, args),
        Verb::Bench(args) => bench::run(&sh, args),
        Verb::Package(args) => package::run(&sh, args),
        Verb::Kernels(args) => kernels::run(&sh, args),
        Verb::KernelsInside(args) => kernels::inside(args),
    }
}

/// Says what failed and why, without the backtrace that `RUST_BACKTRACE` would add: the lines to act on come last.
fn explain(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    for cause in causes.iter().rev() {
        eprintln!("error: {}", cause.trim_end());
    }
}

/// The top of the repository: the folder that holds this crate's.
fn top() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}
