//! What a packet and a connect cost, in one run: beside a floor, and beside what people use today.
//!
//! # Layout
//!
//! - [`packet`]: nanoseconds a packet, without a network (`BPF_PROG_TEST_RUN`)
//! - [`wire`]: nanoseconds a SYN from one end of a wire to the other, beside other filters
//! - [`connect`]: what a `connect()` costs, in a cgroup and a network namespace of the bench's own
//! - [`connect::clients`]: what an application waits for that connects
//! - [`growth`]: what a cost does as there is more of something
//! - [`felt`]: what a client feels of a flood
//! - [`footprint`]: what it takes to be there
//! - [`measure`]: cases that are measured in turns
//! - [`report`]: the table, the JSON file and the plots, and which targets are met

#![expect(clippy::cast_precision_loss, reason = "what is measured here has three figures")]

mod connect;
mod felt;
mod footprint;
mod growth;
mod measure;
mod packet;
mod report;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::{Report, Section};

/// Measures limiterctl. Needs root, and a machine that has nothing else to do.
#[derive(Parser)]
struct Arguments {
    /// How often each case is measured
    #[arg(long, default_value_t = 9)]
    rounds: usize,

    /// Only whether a target that needs no network is missed by more than half; writes nothing
    #[arg(long)]
    quick: bool,

    /// Only the sections with these names
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// Where README.md, results.json and the plots are written
    #[arg(long, default_value = "docs/bench")]
    out: PathBuf,

    /// Be the process that connects
    #[arg(long, hide = true)]
    worker: bool,
}

const QUICK_ROUNDS: usize = 4;
const QUICK_FACTOR: f64 = 1.5;

/// A section's name, and what measures it, given the number of rounds.
type Measure = (&'static str, fn(usize) -> anyhow::Result<Section>);

const SECTIONS: [Measure; 7] = [
    ("packet", packet::measure),
    ("wire", wire::measure),
    ("connect", connect::measure),
    ("clients", connect::clients::measure),
    ("growth", growth::measure),
    ("felt", felt::measure),
    ("footprint", footprint::measure),
];

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = Arguments::parse();
    if arguments.worker {
        connect::work()?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.quick {
        arguments.rounds = QUICK_ROUNDS;
        arguments.only = vec!["packet".into()];
    }
    let chosen = |name| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut report = Report::new(arguments.rounds);
    for (name, measure) in SECTIONS.iter().filter(|(name, _)| chosen(name)) {
        eprintln!("{name}:");
        report.sections.push(measure(arguments.rounds)?);
        // What is measured is kept, should a later section fail.
        if !arguments.quick {
            report.write(&arguments.out)?;
        }
    }
    print!("{}", report.summary());
    if arguments.quick {
        let missed = report.missed_by(QUICK_FACTOR);
        for line in &missed {
            eprintln!("missed by more than half: {line}");
        }
        return Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!("written to {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}
