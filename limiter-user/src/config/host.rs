//! Limits on destinations: `google.com,*.google.com = 20/s burst 20, backoff 15s`.

use std::str::FromStr;
use std::time::Duration;

use super::duration;
use super::hostname::HostPattern;
use super::rate::{ByteRate, Rate};
use super::unreadable;
use crate::failure::Failure;

const CURE: &str = "write limits as '20/s burst 20, backoff 15s': a rate of new connections, and where wanted \
'lookups 50/s', 'packets 1000/s', 'bytes 5 mbytes/second', 'backoff 15s', 'share host'";
const RULE_CURE: &str = "write a rule as 'google.com,*.google.com = 20/s burst 20, backoff 15s'";

/// Who has a state of its own under a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Share {
    /// All that the rule lists, together.
    #[default]
    Rule,
    /// Each name, and each address in a listed network.
    Host,
}

/// What a destination is held to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostLimits {
    /// New connections.
    pub rate: Option<Rate>,
    /// DNS queries for the name.
    pub lookups: Option<Rate>,
    /// Packets sent.
    pub packets: Option<Rate>,
    /// Bytes sent.
    pub bytes: Option<ByteRate>,
    /// How long everything is refused once one of these is passed.
    pub backoff: Option<Duration>,
}

/// One `--host`, or one `[[outbound.rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    /// How it is called; a rule of the command line has no name.
    pub name: Option<String>,
    /// What it lists; never empty.
    pub patterns: Vec<HostPattern>,
    /// What that is held to.
    pub limits: HostLimits,
    /// Together, or each by itself.
    pub share: Share,
}

impl FromStr for HostRule {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (hosts, limits) =
            text.split_once('=').ok_or_else(|| unreadable(text, text, "has no '='", RULE_CURE))?;
        let mut patterns: Vec<HostPattern> = Vec::new();
        for part in hosts.split(',').map(str::trim) {
            let pattern: HostPattern = part.parse()?;
            if patterns.contains(&pattern) {
                return Err(unreadable(text, part, "is listed twice", RULE_CURE));
            }
            patterns.push(pattern);
        }
        let (limits, share) = clauses(text, limits, true)?;
        Ok(Self { name: None, patterns, limits, share: share.unwrap_or_default() })
    }
}

impl FromStr for HostLimits {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        clauses(text, text, false).map(|(limits, _)| limits)
    }
}

/// Reads the clauses in a part of a text, in any order, none twice.
fn clauses(text: &str, part: &str, may_share: bool) -> Result<(HostLimits, Option<Share>), Failure> {
    let mut limits = HostLimits::default();
    let mut share = None;
    for clause in part.split(',').map(str::trim) {
        let (word, rest) = clause.split_once(char::is_whitespace).unwrap_or((clause, ""));
        let rest = rest.trim();
        let is_first = match word {
            "" => return Err(unreadable(text, clause, "should be a limit", CURE)),
            "lookups" => limits.lookups.replace(rest.parse()?).is_none(),
            "packets" => limits.packets.replace(rest.parse()?).is_none(),
            "bytes" => limits.bytes.replace(rest.parse()?).is_none(),
            "backoff" => limits.backoff.replace(duration::parse(rest)?).is_none(),
            "rate" => limits.rate.replace(rest.parse()?).is_none(),
            "share" if may_share => {
                let who = match rest {
                    "rule" => Share::Rule,
                    "host" => Share::Host,
                    _ => return Err(unreadable(text, rest, "is neither 'rule' nor 'host'", CURE)),
                };
                share.replace(who).is_none()
            }
            _ if clause.contains('/') => limits.rate.replace(clause.parse()?).is_none(),
            _ => return Err(unreadable(text, word, "is no limit", CURE)),
        };
        if !is_first {
            return Err(unreadable(text, clause, "says the same once more", CURE));
        }
    }
    let is_limit = limits.rate.is_some() || limits.lookups.is_some();
    if !is_limit && limits.packets.is_none() && limits.bytes.is_none() {
        return Err(unreadable(text, part.trim(), "limits nothing", CURE));
    }
    Ok((limits, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_lists_names_and_says_what_they_are_held_to() {
        let rule: HostRule = "google.com, *.google.com = 20/s burst 20, backoff 15s".parse().unwrap();
        assert_eq!(
            rule.patterns.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["google.com", "*.google.com"]
        );
        assert_eq!(rule.limits.rate, Some("20/s burst 20".parse().unwrap()));
        assert_eq!(rule.limits.backoff, Some(Duration::from_secs(15)));
        assert_eq!((rule.share, rule.limits.lookups, rule.limits.packets), (Share::Rule, None, None));
    }

    #[test]
    fn every_clause_is_read_in_any_order() {
        let rule: HostRule =
            "10.0.0.0/8 = share host, bytes 5 mbytes/second, packets 1000/s, lookups 30/min burst 9, rate 1/s"
                .parse()
                .unwrap();
        assert_eq!(rule.share, Share::Host);
        assert_eq!(rule.limits.bytes, Some("5 mbytes/second".parse().unwrap()));
        assert_eq!(rule.limits.packets, Some("1000/s".parse().unwrap()));
        assert_eq!(rule.limits.lookups, Some("30/min burst 9".parse().unwrap()));
        assert_eq!(rule.limits.rate, Some("1/s".parse().unwrap()));
        let limits: HostLimits = "10/s burst 10, backoff 15s".parse().unwrap();
        assert_eq!(
            (limits.rate, limits.backoff),
            (Some("10/s burst 10".parse().unwrap()), Some(Duration::from_secs(15)))
        );
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        for (text, cause) in [
            ("google.com", "'google.com': 'google.com' at character 1 has no '='"),
            ("= 1/s", "'': '' at character 1 is not a name"),
            ("a.com,a.com = 1/s", "'a.com,a.com = 1/s': 'a.com' at character 7 is listed twice"),
            ("a.com,A.COM. = 1/s", "'a.com,A.COM. = 1/s': 'A.COM.' at character 7 is listed twice"),
            ("a.com =", "'a.com =': '' at character 8 should be a limit"),
            ("a.com = 1/s,", "'a.com = 1/s,': '' at character 13 should be a limit"),
            ("a.com = 1/s, 2/s", "'a.com = 1/s, 2/s': '2/s' at character 14 says the same once more"),
            ("a.com = fast", "'a.com = fast': 'fast' at character 9 is no limit"),
            ("a.com = backoff 1s", "'a.com = backoff 1s': 'backoff 1s' at character 9 limits nothing"),
            (
                "a.com = 1/s, share all",
                "'a.com = 1/s, share all': 'all' at character 20 is neither 'rule' nor 'host'",
            ),
            ("a.com = 1/s, backoff soon", "'soon': expected number at 0"),
        ] {
            assert_eq!(text.parse::<HostRule>().unwrap_err().cause, cause);
        }
        let shared = "1/s, share host".parse::<HostLimits>().unwrap_err().cause;
        assert_eq!(
            shared, "'1/s, share host': 'share' at character 6 is no limit",
            "the default rule never shares"
        );
    }
}
