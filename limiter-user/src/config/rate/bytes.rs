//! Rates of bytes: `5 mbytes/second burst 1 mbytes`.

use std::fmt;
use std::str::FromStr;

use limiter_common::gcra::{Limit, LimitError};
use limiter_common::outbound::BYTES_UNIT;

use super::super::unreadable;
use super::{SECOND, UNITS, number, per};
use crate::failure::Failure;

/// As nft's: powers of 1,024.
const SIZES: [(&str, u64); 4] = [("bytes", 1), ("kbytes", 1 << 10), ("mbytes", 1 << 20), ("gbytes", 1 << 30)];
const CURE: &str = "write a rate of bytes as '5 mbytes/second burst 1 mbytes': bytes, kbytes, mbytes or gbytes \
per second, minute, hour or day";
/// The kernel hands over up to 64 KiB as one packet, to be cut up by the network card, and each must fit the burst.
const LEAST_BURST: u64 = 64 << 10;
const DEFAULT_BURST: u64 = 128 << 10;

/// So many bytes in so long, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate {
    count: u64,
    unit: usize,
    burst: u64,
}

impl ByteRate {
    /// As the kernel holds it, in units of [`BYTES_UNIT`].
    ///
    /// # Errors
    ///
    /// Where the kernel's times cannot hold it.
    pub fn limit(&self) -> Result<Limit, Failure> {
        let per = UNITS[self.unit].2.saturating_mul(BYTES_UNIT);
        Limit::new(self.count, per, self.burst.div_ceil(BYTES_UNIT), 0).map_err(|error| match error {
            LimitError::Zero => Failure::new(format!("'{self}' lets nothing pass"), CURE),
            LimitError::TooFast => Failure::new(
                format!("'{self}' is too fast"),
                "9 gbytes/second is the most; leave the limit out where none is wanted",
            ),
            LimitError::TooLong => Failure::new(
                format!("'{self}' takes too long to recover"),
                "burst / rate may last 24 hours at most: lower the burst, or raise the rate",
            ),
        })
    }
}

impl ByteRate {
    /// As a person says it: `5 mbytes a second, 1 mbytes at once`.
    pub fn in_words(&self) -> String {
        format!("{} {}, {} at once", words(self.count), per(self.unit), words(self.burst))
    }
}

impl FromStr for ByteRate {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let bad = |part: &str, what: &str| unreadable(text, part, what, CURE);
        let (amount, rest) = text.split_once('/').ok_or_else(|| bad(text, "has no '/'"))?;
        let count = size(text, amount.trim())?;
        let (unit_name, burst) = match rest.trim().split_once(char::is_whitespace) {
            Some((unit, burst)) => (unit, Some(burst.trim())),
            None => (rest.trim(), None),
        };
        let unit = UNITS
            .iter()
            .position(|(_, names, _)| names.contains(&unit_name))
            .ok_or_else(|| bad(unit_name, "is not a unit of time"))?;
        let burst = match burst {
            None => default_burst(count, UNITS[unit].2),
            Some(words) => match words.strip_prefix("burst") {
                Some(burst) => size(text, burst.trim())?,
                None => return Err(bad(words, "is not 'burst'")),
            },
        };
        if burst < LEAST_BURST {
            let cure = "give it a burst of 64 kbytes or more: the kernel sends up to that much as one packet";
            return Err(unreadable(text, text, "has a burst in which no packet may fit", cure));
        }
        Ok(Self { count, unit, burst })
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} burst {}", words(self.count), UNITS[self.unit].0, words(self.burst))
    }
}

/// `5 mbytes`.
fn size(text: &str, part: &str) -> Result<u64, Failure> {
    let bad = |part: &str, what: &str| unreadable(text, part, what, CURE);
    let (amount, name) = part.split_once(char::is_whitespace).unwrap_or((part, &part[part.len()..]));
    let amount = number(amount).ok_or_else(|| bad(amount, "is not a number above 0"))?;
    let (_, size) = SIZES
        .into_iter()
        .find(|(known, _)| *known == name.trim())
        .ok_or_else(|| bad(name, "is not bytes, kbytes, mbytes or gbytes"))?;
    amount.checked_mul(size).ok_or_else(|| bad(part, "is more than can be counted"))
}

fn words(bytes: u64) -> String {
    let largest = SIZES.into_iter().rev().find(|(_, size)| bytes.is_multiple_of(*size));
    largest.map_or_else(String::new, |(name, size)| format!("{} {name}", bytes / size))
}

/// What the rate allows in one second.
fn default_burst(count: u64, per: u64) -> u64 {
    let second = u128::from(count) * u128::from(SECOND) / u128::from(per);
    u64::try_from(second).unwrap_or(u64::MAX).max(DEFAULT_BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_bytes_are_read_as_nft_writes_them() {
        for (text, canonical) in [
            ("5 mbytes/second", "5 mbytes/second burst 5 mbytes"),
            ("10 kbytes/s burst 1 mbytes", "10 kbytes/second burst 1 mbytes"),
            ("1000 bytes/second", "1000 bytes/second burst 128 kbytes"),
            ("6 gbytes/hour burst 64 kbytes", "6 gbytes/hour burst 64 kbytes"),
        ] {
            assert_eq!(text.parse::<ByteRate>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        for (text, cause) in [
            ("5 mbytes", "'5 mbytes': '5 mbytes' at character 1 has no '/'"),
            ("5/s", "'5/s': '' at character 2 is not bytes, kbytes, mbytes or gbytes"),
            ("5 MB/s", "'5 MB/s': 'MB' at character 3 is not bytes, kbytes, mbytes or gbytes"),
            ("x mbytes/s", "'x mbytes/s': 'x' at character 1 is not a number above 0"),
            ("5 mbytes/yr", "'5 mbytes/yr': 'yr' at character 10 is not a unit of time"),
            ("5 mbytes/s bust 9", "'5 mbytes/s bust 9': 'bust 9' at character 12 is not 'burst'"),
            (
                "5 mbytes/s burst 9 bytes",
                "'5 mbytes/s burst 9 bytes': '5 mbytes/s burst 9 bytes' at character 1 has a burst in which no packet may fit",
            ),
        ] {
            assert_eq!(text.parse::<ByteRate>().unwrap_err().cause, cause);
        }
    }

    #[test]
    fn a_limit_counts_units_of_1024_bytes() {
        let limit = |text: &str| text.parse::<ByteRate>().unwrap().limit();
        assert_eq!(limit("1 mbytes/second").unwrap().emission_interval, 976_562); // ns for 1,024 bytes, even
        assert_eq!(
            limit("100 gbytes/second").unwrap_err().cause,
            "'100 gbytes/second burst 100 gbytes' is too fast"
        );
        assert!(limit("1 bytes/second").unwrap_err().cause.contains("takes too long to recover"));
    }
}
