//! Ports and port ranges: `80,443,8000-8100`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::unreadable;
use crate::failure::Failure;

const CURE: &str = "write ports as '80,443,8000-8100', each from 1 to 65535 and none twice";

/// Ports, in ascending order, none twice, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Ports {
    /// All of these. None of them may share a port with another.
    pub fn together(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut ranges: Vec<_> = parts.into_iter().flat_map(|part| part.0).collect();
        ranges.sort_by_key(|range| *range.start());
        Self(ranges)
    }

    /// Each port.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().cloned().flatten()
    }

    /// Each port or range, as written.
    pub fn ranges(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            })
            .collect()
    }
}

impl FromStr for Ports {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let mut seen: Vec<(RangeInclusive<u16>, &str)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let range = range(text, part)?;
            if let Some((_, earlier)) =
                seen.iter().find(|(other, _)| range.start() <= other.end() && other.start() <= range.end())
            {
                return Err(unreadable(text, part, &format!("names a port of '{earlier}' again"), CURE));
            }
            seen.push((range, part));
        }
        let mut ranges: Vec<_> = seen.into_iter().map(|(range, _)| range).collect();
        ranges.sort_by_key(|range| *range.start());
        Ok(Self(ranges))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ranges().join(","))
    }
}

fn range(text: &str, part: &str) -> Result<RangeInclusive<u16>, Failure> {
    let read = |word: &str| -> Result<u16, Failure> {
        let word = word.trim();
        word.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
            // Points at the end of the list where there is no word to point at.
            let place =
                if word.is_empty() { part } else { &part[part.find(word).unwrap_or(0)..][..word.len()] };
            unreadable(text, place, "is not a port", CURE)
        })
    };
    match part.split_once('-') {
        None => read(part).map(|port| port..=port),
        Some((first, last)) => {
            let range = read(first)?..=read(last)?;
            if range.is_empty() {
                return Err(unreadable(text, part, "ends before it begins", CURE));
            }
            Ok(range)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_read_and_sorted() {
        let ports: Ports = "443, 80,8000-8002".parse().unwrap();
        assert_eq!(ports.to_string(), "80,443,8000-8002");
        assert_eq!(ports.iter().collect::<Vec<_>>(), [80, 443, 8000, 8001, 8002]);
    }

    #[test]
    fn all_ports_are_one_range() {
        assert_eq!("1-65535".parse::<Ports>().unwrap().iter().count(), 65_535);
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        for (text, cause) in [
            ("", "'': '' at character 1 is not a port"),
            ("80,", "'80,': '' at character 4 is not a port"),
            ("80,http", "'80,http': 'http' at character 4 is not a port"),
            ("0", "'0': '0' at character 1 is not a port"),
            ("65536", "'65536': '65536' at character 1 is not a port"),
            ("80-x", "'80-x': 'x' at character 4 is not a port"),
            ("90-80", "'90-80': '90-80' at character 1 ends before it begins"),
            ("80,443,80", "'80,443,80': '80' at character 8 names a port of '80' again"),
            ("8000-8100,8050", "'8000-8100,8050': '8050' at character 11 names a port of '8000-8100' again"),
        ] {
            assert_eq!(text.parse::<Ports>().unwrap_err().cause, cause);
        }
    }
}
