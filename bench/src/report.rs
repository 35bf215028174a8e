//! What was measured and which targets it meets: a table, a JSON file, plots.

mod curve;
mod machine;
mod plot;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::measure::{Measured, median};
pub use curve::{Curve, thousands};
use machine::Machine;

/// What belongs together: measured in turns, shown in one table and one plot.
#[derive(Debug, Serialize)]
pub struct Section {
    /// File name of its plot, and its anchor.
    pub name: &'static str,
    /// Headline.
    pub title: &'static str,
    /// How it was measured; Markdown.
    pub how: &'static str,
    /// The cases.
    pub measured: Vec<Measured>,
    /// What they should be.
    pub checks: Vec<Check>,
    /// What was measured once and belongs to how, such as the rate that was reached; Markdown.
    pub notes: Vec<String>,
    /// Plots in place of the one with bars.
    pub curves: Vec<Curve>,
}

/// A target and what came of it.
#[derive(Debug, Serialize)]
pub struct Check {
    /// Number of the target, such as P1.
    pub target: &'static str,
    /// What is compared.
    pub what: String,
    /// What it came to.
    pub value: f64,
    /// What it may come to, or must.
    pub bound: Bound,
    /// What both are added to, where they say what something costs more.
    #[serde(skip)]
    pub base: f64,
    /// Whether it measures the processor's cache, which a machine may share with others: only a full run tells.
    #[serde(skip)]
    pub needs_cache: bool,
    /// What the short form takes for the value; see [`LEAST_FLOOR`].
    #[serde(skip)]
    pub counted: f64,
}

/// Nanoseconds that a floor counts for at least in the short form.
///
/// The targets are ratios to a floor of 27 ns, as an empty program costs where the kernel guards each return. Where it does
/// not, the floor is 8 ns, and what is measured takes half the time and yet is more floors. The short form looks for what
/// became slower, not for another processor; a full run is held to the bare ratios everywhere.
const LEAST_FLOOR: f64 = 20.0;

/// What of a cost beyond a floor the short form counts, both in floors.
pub fn counted(beyond: f64, floor: f64) -> f64 {
    beyond * (floor / LEAST_FLOOR).min(1.0)
}

/// A bound, met by what equals it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less.
    AtLeast(f64),
}

impl Check {
    /// A check of a number by itself.
    pub fn new(target: &'static str, what: impl Into<String>, value: f64, bound: Bound) -> Self {
        Self { target, what: what.into(), value, bound, base: 0.0, needs_cache: false, counted: value }
    }

    /// Whether the target is met.
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
        }
    }

    /// Whether it is missed by no more than this factor, as the short form asks.
    fn is_nearly_met(&self, factor: f64) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.base + self.counted <= (self.base + most) * factor,
            Bound::AtLeast(least) => self.base + self.counted >= (self.base + least) / factor,
        }
    }
}

impl Section {
    /// A case by its name.
    ///
    /// # Panics
    ///
    /// There is none: a check asks for what is not measured.
    #[track_caller]
    pub fn case(&self, name: &str) -> &Measured {
        let case = self.measured.iter().find(|case| case.name == name);
        case.unwrap_or_else(|| panic!("section {} measures no '{name}'", self.name))
    }

    /// The file of a curve's plot.
    fn plot(&self, curve: &Curve) -> String {
        format!("{}-{}.svg", self.name, curve.name)
    }

    /// What can stand side by side in a plot: all that is of one unit with the first.
    fn comparable(&self) -> impl Iterator<Item = &Measured> + Clone {
        let unit = self.measured.first().map(|case| case.unit);
        self.measured.iter().filter(move |case| Some(case.unit) == unit)
    }

    /// Holds `factor` to a bound: how many times the minimum of `base` the minimum of `case` is.
    pub fn hold(&mut self, target: &'static str, case: &str, base: &str, bound: Bound) {
        let (case_samples, floor) = (&self.case(case).samples, self.case(base).minimum());
        let value = self.case(case).minimum() / floor;
        // With few rounds the minima may come from two speeds of the processor; both of one round do not, and what became
        // slower is so in every round.
        let rounds = case_samples.iter().zip(&self.case(base).samples).map(|(case, base)| case / base);
        let best = match bound {
            Bound::AtMost(_) => rounds.fold(value, f64::min),
            Bound::AtLeast(_) => rounds.fold(value, f64::max),
        };
        let check = Check::new(target, format!("{case} / {base}"), value, bound);
        self.checks.push(Check { counted: 1.0 + counted(best - 1.0, floor), ..check });
    }

    /// The same of cases that touch more memory than a processor's own cache holds.
    pub fn hold_in_cache(&mut self, target: &'static str, case: &str, base: &str, bound: Bound) {
        self.hold(target, case, base, bound);
        if let Some(check) = self.checks.last_mut() {
            check.needs_cache = true;
        }
    }

    /// The same of each round, and of these the median: what takes part in a conversation has no least time that means
    /// much, and a processor that is faster in some rounds than in others is so for both.
    pub fn hold_median(&mut self, target: &'static str, case: &str, base: &str, bound: Bound) {
        let rounds = self.case(case).samples.iter().zip(&self.case(base).samples);
        let value = median(rounds.map(|(case, base)| case / base));
        self.checks.push(Check::new(target, format!("{case} / {base}, median of rounds"), value, bound));
    }
}

/// Everything, as it goes into the JSON file.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    rounds: usize,
    /// What has been measured so far.
    pub sections: Vec<Section>,
}

impl Report {
    /// Of nothing yet, on this machine.
    pub fn new(rounds: usize) -> Self {
        Self { machine: Machine::here(), rounds, sections: Vec::new() }
    }

    /// Writes README.md, results.json and a plot a section into a directory.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        write("results.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("README.md", self.markdown())?;
        for section in &self.sections {
            for curve in &section.curves {
                write(&section.plot(curve), curve.svg(section))?;
            }
            if section.curves.is_empty() {
                write(&format!("{}.svg", section.name), plot::bars(section))?;
            }
        }
        Ok(())
    }

    /// The targets, one a line, for a terminal.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for check in self.sections.iter().flat_map(|section| &section.checks) {
            let verdict = if check.is_met() { "met   " } else { "MISSED" };
            let _ = writeln!(
                text,
                "{:<4} {verdict} {:>8} {:<9} {}",
                check.target,
                number(check.value),
                bound(check.bound),
                check.what
            );
        }
        text
    }

    /// The targets that are missed by more than this factor.
    /// Those that need a cache of their own are left out.
    pub fn missed_by(&self, factor: f64) -> Vec<String> {
        let checks = self.sections.iter().flat_map(|section| &section.checks);
        checks
            .filter(|check| !check.needs_cache && !check.is_nearly_met(factor))
            .map(|check| format!("{} is {}: {}", check.target, number(check.value), check.what))
            .collect()
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# What a packet and a connect cost\n\nWritten by `cargo xtask bench`: {} rounds, taken in turns, on {}.\n\
             Absolute times differ between machines; the targets are ratios within this run.\n",
            self.rounds, self.machine
        );
        for section in &self.sections {
            let _ = write!(text, "\n## {}\n\n{}\n\n", section.title, section.how);
            for note in &section.notes {
                let _ = write!(text, "{note}\n\n");
            }
            for curve in &section.curves {
                let _ = write!(text, "![{}]({})\n\n", curve.title, section.plot(curve));
            }
            if section.curves.is_empty() {
                let _ = write!(text, "![{}]({}.svg)\n\n", section.title, section.name);
            }
            text += "| case | minimum | median | maximum |\n| --- | --: | --: | --: |\n";
            for case in &section.measured {
                let [minimum, median, maximum] = [case.minimum(), case.median(), case.maximum()]
                    .map(|value| format!("{} {}", number(value), case.unit));
                let _ = writeln!(text, "| {} | {minimum} | {median} | {maximum} |", case.name);
            }
            if !section.checks.is_empty() {
                text += "\n| target | what | measured | bound | |\n| --- | --- | --: | --: | --- |\n";
            }
            for check in &section.checks {
                let verdict = if check.is_met() { "met" } else { "**missed**" };
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {verdict} |",
                    check.target,
                    check.what,
                    number(check.value),
                    bound(check.bound)
                );
            }
        }
        text
    }
}

fn bound(bound: Bound) -> String {
    match bound {
        Bound::AtMost(most) => format!("<= {}", number(most)),
        Bound::AtLeast(least) => format!(">= {}", number(least)),
    }
}

/// Three figures, as far as there are.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
