//! Rates as nft writes them: `10/second burst 20`, `900/min`, `5/h`.

mod bytes;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use limiter_common::gcra::{Limit, LimitError, MAX_HORIZON, MAX_PER_SECOND};

use super::unreadable;
use crate::failure::Failure;
pub use bytes::ByteRate;

const SECOND: u64 = 1_000_000_000;
const UNITS: [(&str, &[&str], u64); 4] = [
    ("second", &["s", "sec", "second", "seconds"], SECOND),
    ("minute", &["m", "min", "minute", "minutes"], 60 * SECOND),
    ("hour", &["h", "hour", "hours"], 3600 * SECOND),
    ("day", &["d", "day", "days"], 24 * 3600 * SECOND),
];
const CURE: &str =
    "write a rate as '900/min burst 60': a number per second, minute, hour or day, and how many at once";
/// What nft and iptables take where no burst is said.
const LEAST_BURST: u64 = 5;

/// So many in so long, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    unit: usize,
    burst: u64,
}

impl Rate {
    /// As the kernel holds it, with `backoff` nanoseconds of silence once it is passed.
    ///
    /// # Errors
    ///
    /// Where the kernel's 48-bit times cannot hold it.
    pub fn limit(&self, backoff: u64) -> Result<Limit, Failure> {
        Limit::new(self.count, UNITS[self.unit].2, self.burst, backoff).map_err(|error| match error {
            LimitError::Zero => Failure::new(format!("'{self}' lets nothing pass"), CURE),
            LimitError::TooFast => Failure::new(
                format!("'{self}' is too fast"),
                format!("the highest rate is {MAX_PER_SECOND}/s; leave the limit out where none is wanted"),
            ),
            LimitError::TooLong => Failure::new(
                format!("'{self}' takes too long to recover"),
                format!(
                    "burst / rate, and the back-off, may last {} hours at most: lower the burst or the back-off",
                    MAX_HORIZON / SECOND / 3600
                ),
            ),
        })
    }
}

impl Rate {
    /// As a person says it: `900 connections a minute, 60 at once`.
    pub fn in_words(&self, what: &str) -> String {
        format!("{} {what} {}, {} at once", self.count, per(self.unit), self.burst)
    }

    /// How long the burst lasts at this rate.
    pub fn burst_time(&self) -> Duration {
        let nanos = u128::from(self.burst) * u128::from(UNITS[self.unit].2) / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl FromStr for Rate {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let bad = |part: &str, what: &str| unreadable(text, part, what, CURE);
        let (amount, rest) = text.split_once('/').ok_or_else(|| bad(text, "has no '/'"))?;
        let mut words = rest.split_whitespace();
        let unit_name = words.next().ok_or_else(|| bad(rest, "should be a unit of time"))?;
        let count = number(amount.trim()).ok_or_else(|| bad(amount.trim(), "is not a number above 0"))?;
        let unit = UNITS
            .iter()
            .position(|(_, names, _)| names.contains(&unit_name))
            .ok_or_else(|| bad(unit_name, "is not a unit of time"))?;
        let burst = match (words.next(), words.next()) {
            (None, _) => default_burst(count, UNITS[unit].2),
            (Some("burst"), Some(burst)) => {
                number(burst).ok_or_else(|| bad(burst, "is not a number above 0"))?
            }
            (Some("burst"), None) => return Err(bad(&text[text.len()..], "should be the size of the burst")),
            (Some(word), _) => return Err(bad(word, "is not 'burst'")),
        };
        match words.next() {
            None => Ok(Self { count, unit, burst }),
            // nft says "burst 5 packets".
            Some("packets" | "connections") if words.next().is_none() => Ok(Self { count, unit, burst }),
            Some(word) => Err(bad(word, "is more than a rate")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} burst {}", self.count, UNITS[self.unit].0, self.burst)
    }
}

fn per(unit: usize) -> String {
    let name = UNITS[unit].0;
    let article = if name == "hour" { "an" } else { "a" };
    format!("{article} {name}")
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&number| number > 0)
}

/// What the rate allows in one second.
fn default_burst(count: u64, per: u64) -> u64 {
    let second = u128::from(count) * u128::from(SECOND) / u128::from(per);
    u64::try_from(second).unwrap_or(u64::MAX).max(LEAST_BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_nft_writes_them() {
        for (text, canonical) in [
            ("900/min burst 60", "900/minute burst 60"),
            ("10/second burst 20 packets", "10/second burst 20"),
            ("20000/s", "20000/second burst 20000"),
            ("15/s", "15/second burst 15"),
            ("900/m", "900/minute burst 15"),
            ("1/h", "1/hour burst 5"),
            (" 7 / day  burst 1", "7/day burst 1"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        for (text, cause) in [
            ("", "'': '' at character 1 has no '/'"),
            ("900", "'900': '900' at character 1 has no '/'"),
            ("x/min", "'x/min': 'x' at character 1 is not a number above 0"),
            ("0/min", "'0/min': '0' at character 1 is not a number above 0"),
            ("-1/min", "'-1/min': '-1' at character 1 is not a number above 0"),
            ("9/", "'9/': '' at character 3 should be a unit of time"),
            ("9/fortnight", "'9/fortnight': 'fortnight' at character 3 is not a unit of time"),
            ("9/s brust 3", "'9/s brust 3': 'brust' at character 5 is not 'burst'"),
            ("9/s burst", "'9/s burst': '' at character 10 should be the size of the burst"),
            ("9/s burst 0", "'9/s burst 0': '0' at character 11 is not a number above 0"),
            ("9/s burst 3 per day", "'9/s burst 3 per day': 'per' at character 13 is more than a rate"),
            ("é/s", "'é/s': 'é' at character 1 is not a number above 0"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap_err().cause, cause);
        }
    }

    #[test]
    fn a_rate_that_the_kernel_cannot_hold_says_so() {
        let limit = |text: &str| text.parse::<Rate>().unwrap().limit(0);
        assert!(limit("10000000/s burst 1").is_ok());
        assert!(limit("1/day burst 1").is_ok());
        assert_eq!(limit("10000001/s").unwrap_err().cause, "'10000001/second burst 10000001' is too fast");
        assert_eq!(
            limit("1/hour burst 25").unwrap_err().cause,
            "'1/hour burst 25' takes too long to recover"
        );
        assert!("1/s".parse::<Rate>().unwrap().limit(MAX_HORIZON + 2).is_err());
    }

    #[test]
    fn a_rate_is_said_in_words() {
        let rate: Rate = "900/min burst 60".parse().unwrap();
        assert_eq!(rate.in_words("connections"), "900 connections a minute, 60 at once");
        assert_eq!(rate.burst_time(), Duration::from_secs(4));
        assert_eq!("5/h".parse::<Rate>().unwrap().in_words("queries"), "5 queries an hour, 5 at once");
    }

    #[test]
    fn a_minute_is_sixty_seconds() {
        let limit = "900/min burst 60".parse::<Rate>().unwrap().limit(0).unwrap();
        assert_eq!(limit.emission_interval, 66_666_666); // the nearest even number to 66,666,666.7 ns
        assert_eq!(limit.tolerance, 59 * 66_666_666);
    }
}
