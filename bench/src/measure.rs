//! Rounds of measurements, taken in turns, so that whatever the machine does meanwhile happens to all of them.

use serde::Serialize;

/// Something that is measured once a round.
pub struct Case<'a> {
    /// What it is called, in the table and by the checks.
    pub name: String,
    /// Measures it.
    pub measure: Box<dyn FnMut() -> anyhow::Result<f64> + 'a>,
}

impl<'a> Case<'a> {
    /// A case by its name.
    pub fn new(name: impl Into<String>, measure: impl FnMut() -> anyhow::Result<f64> + 'a) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

/// All that was measured of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// As in [`Case`].
    pub name: String,
    /// `ns`, `us`, or what else a number is of.
    pub unit: &'static str,
    /// One number a round.
    pub samples: Vec<f64>,
}

impl Measured {
    /// The least: what the machine could not make slower.
    pub fn minimum(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The one in the middle.
    pub fn median(&self) -> f64 {
        median(self.samples.iter().copied())
    }

    /// The greatest.
    pub fn maximum(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The one in the middle.
pub fn median(samples: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<_> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures each case so many times: all of them once, then all of them again.
///
/// # Errors
///
/// The first that a case has.
pub fn in_turns(
    unit: &'static str,
    mut cases: Vec<Case<'_>>,
    rounds: usize,
) -> anyhow::Result<Vec<Measured>> {
    let mut measured: Vec<Measured> =
        cases.iter().map(|case| Measured { name: case.name.clone(), unit, samples: Vec::new() }).collect();
    for round in 1..=rounds {
        eprint!("\r  round {round} of {rounds} ");
        for (case, measured) in cases.iter_mut().zip(&mut measured) {
            measured.samples.push((case.measure)()?);
        }
    }
    eprintln!();
    Ok(measured)
}
