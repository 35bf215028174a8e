//! Source prefix lengths: `32,64` for IPv4 and IPv6.

use std::fmt;
use std::str::FromStr;

use limiter_common::key::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::unreadable;
use crate::failure::Failure;

const CURE: &str =
    "write source prefixes as '32,64': the length for IPv4 (1 to 32), then for IPv6 (1 to 128)";

/// How much of an address makes one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct SourcePrefix {
    /// Bits of an IPv4 address, 1 to 32.
    pub v4: u8,
    /// Bits of an IPv6 address, 1 to 128.
    pub v6: u8,
}

impl SourcePrefix {
    /// The mask for IPv4-mapped addresses.
    pub const fn mask_v4(self) -> Address {
        Address::mask(96 + self.v4)
    }

    /// The mask for IPv6 addresses.
    pub const fn mask_v6(self) -> Address {
        Address::mask(self.v6)
    }
}

/// One host, and what one customer usually gets.
impl Default for SourcePrefix {
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

impl FromStr for SourcePrefix {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (v4, v6) = text
            .split_once(',')
            .ok_or_else(|| unreadable(text, text, "is not two lengths with a comma between", CURE))?;
        let length = |word: &str, most: u8| {
            let word = word.trim();
            word.trim_start_matches('/')
                .parse()
                .ok()
                .filter(|length| (1..=most).contains(length))
                .ok_or_else(|| unreadable(text, word, &format!("is not a length from 1 to {most}"), CURE))
        };
        Ok(Self { v4: length(v4, 32)?, v6: length(v6, 128)? })
    }
}

impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{} and /{}", self.v4, self.v6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lengths_are_read() {
        assert_eq!("32,64".parse(), Ok(SourcePrefix::default()));
        assert_eq!("/24, /48".parse(), Ok(SourcePrefix { v4: 24, v6: 48 }));
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        for (text, cause) in [
            ("32", "'32': '32' at character 1 is not two lengths with a comma between"),
            ("33,64", "'33,64': '33' at character 1 is not a length from 1 to 32"),
            ("32,129", "'32,129': '129' at character 4 is not a length from 1 to 128"),
            ("0,64", "'0,64': '0' at character 1 is not a length from 1 to 32"),
            ("32,x", "'32,x': 'x' at character 4 is not a length from 1 to 128"),
        ] {
            assert_eq!(text.parse::<SourcePrefix>().unwrap_err().cause, cause);
        }
    }
}
