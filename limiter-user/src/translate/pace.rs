//! So many in so many seconds, in the words of `attach`.

use std::fmt::Write as _;

use crate::failure::Failure;

/// What a rate of `attach` may be for, from short to long.
const UNITS: [(u64, &str); 4] = [(1, "s"), (60, "min"), (3600, "hour"), (86_400, "day")];

/// So many in so many seconds, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many.
    pub count: u64,
    /// In how many seconds.
    pub seconds: u64,
    /// How many at once.
    pub burst: u64,
}

impl Pace {
    /// As `attach` reads it, and a note where that is not quite the same.
    ///
    /// # Errors
    ///
    /// Where it is less than one a day.
    pub fn written(&self) -> Result<(String, Option<String>), Failure> {
        let in_unit = |unit: u64| u128::from(self.count) * u128::from(unit);
        let (seconds, whole) = (u128::from(self.seconds), |&&(unit, _): &&(u64, &str)| {
            unit == self.seconds || in_unit(unit).is_multiple_of(u128::from(self.seconds))
        });
        // As it was said, if it can be.
        let said = UNITS.iter().find(|(unit, _)| *unit == self.seconds);
        if let Some(&(unit, name)) = said.or_else(|| UNITS.iter().find(whole)) {
            return Ok((format!("{}/{name} burst {}", in_unit(unit) / seconds, self.burst), None));
        }
        let (unit, name) = UNITS[UNITS.len() - 1];
        let count = in_unit(unit) / seconds;
        if count == 0 {
            return Err(Failure::new(
                format!("{} in {} seconds is less than one a day", self.count, self.seconds),
                "attach holds no rate that is slower than that",
            ));
        }
        let mut note = format!("{} in {} seconds is rounded down, ", self.count, self.seconds);
        let lost = (in_unit(unit) % seconds) * 10_000 / in_unit(unit);
        let _ = write!(note, "by less than {}.{:02} %", (lost + 1) / 100, (lost + 1) % 100);
        Ok((format!("{count}/{name} burst {}", self.burst), Some(note)))
    }
}
