//! Limits of nft: `limit rate over`, and `ct count over` and `limit rate over` in a set.

use crate::translate::pace::Pace;
use crate::translate::rule::{Limiter, Matches, Rule};
use crate::translate::values::source_length;
use crate::translate::words::{Stop, Words, once};

/// What a burst is where none is said.
const BURST: u64 = 5;
const UNITS: [(&str, u64); 5] =
    [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400), ("week", 604_800)];

/// `@name { ip saddr limit rate over 10/second }`, after `add` or `update`; `name { … }` after `meter`.
pub fn of_set(verb: &str, words: &mut Words, rule: &mut Rule) -> Result<Limiter, Stop> {
    let name = words.value(verb)?;
    if verb != "meter" && !name.starts_with('@') {
        return Err(Stop::no_equal(
            format!("'{verb} {name}' is no set that counts"),
            "write: add @name { … }",
        ));
    }
    if words.skip("size") {
        words.number("size")?;
    }
    expect(words, "{")?;
    let key = key(words, &mut rule.matches)?;
    if words.skip("timeout") {
        let time = words.value("timeout")?;
        rule.notes.push(format!("nft forgets a source after {time}; here its burst comes back at its rate"));
    }
    let limiter = match words.value("{")?.as_str() {
        "limit" => rate(words, key.prefix, key.per_port)?,
        "ct" => open(words, &key)?,
        other => {
            return Err(Stop::no_equal(
                format!("'{other}' in a set has no equal in limiterctl"),
                "write: ip saddr limit rate over 10/second, or ip saddr ct count over 15",
            ));
        }
    };
    expect(words, "}")?;
    Ok(limiter)
}

/// `rate [over] 10/second [burst 5 packets]`, after `limit`.
pub fn rate(words: &mut Words, prefix: Option<u8>, per_port: bool) -> Result<Limiter, Stop> {
    if !words.skip("rate") {
        return Err(Stop::no_equal(
            "a limit that is named stands elsewhere",
            "write it out: limit rate over 10/second",
        ));
    }
    let above = words.skip("over");
    let count = words.number("limit rate")?;
    if !words.skip("/") {
        return Err(Stop::no_equal(
            "'limit rate' limits bytes, and limiterctl new connections",
            "write a number of connections: 900/minute",
        ));
    }
    let unit = words.value("limit rate")?;
    let seconds =
        UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds).ok_or_else(|| {
            Stop::malformed(
                format!("'{unit}' is not a unit of time"),
                "write second, minute, hour, day or week",
            )
        })?;
    let mut burst = None;
    if words.skip("burst") {
        once(&mut burst, "burst", words.number("burst")?)?;
        if !words.skip("packets") {
            return Err(Stop::no_equal("a burst that is not of packets", "write: burst 5 packets"));
        }
    }
    if count == 0 {
        return Err(Stop::malformed("'limit rate' with 0 is no rate", "write a number above 0"));
    }
    // The kernel takes its default for 0 (nft_limit_init).
    let burst = burst.filter(|&burst| burst > 0).unwrap_or(BURST);
    Ok(Limiter::Rate { pace: Pace { count, seconds, burst }, prefix, per_port, above })
}

/// What a set counts by.
struct Key {
    prefix: Option<u8>,
    per_port: bool,
}

fn open(words: &mut Words, key: &Key) -> Result<Limiter, Stop> {
    expect(words, "count")?;
    let above = words.skip("over");
    let count = words.number("ct count")?;
    match *key {
        Key { prefix: Some(prefix), per_port: false } => Ok(Limiter::Open { count, prefix, above }),
        _ => Err(Stop::no_equal(
            "'ct count' that is not counted by source alone has no equal in limiterctl",
            "count by source: add @connlimit { ip saddr ct count over 15 }",
        )),
    }
}

/// `ip saddr [& MASK] [. tcp dport]`.
fn key(words: &mut Words, matches: &mut Matches) -> Result<Key, Stop> {
    let mut key = Key { prefix: None, per_port: false };
    loop {
        let (family, field) = (words.value("{")?, words.value("{")?);
        match (family.as_str(), field.as_str()) {
            ("ip" | "ip6", "saddr") if key.prefix.is_none() => {
                let v6 = family == "ip6";
                if !(if v6 { matches.v6 } else { matches.v4 }) {
                    return Err(Stop::malformed(
                        format!("'{family} saddr' in a rule that is for the other IP version"),
                        "write one of both",
                    ));
                }
                (matches.v4, matches.v6) = (!v6, v6);
                let has_mask = words.skip("&") || words.skip("and");
                let whole = if v6 { 128 } else { 32 };
                key.prefix =
                    Some(if has_mask { source_length("saddr &", &words.value("&")?, v6)? } else { whole });
            }
            ("tcp" | "th", "dport") => key.per_port = true,
            _ => {
                return Err(Stop::no_equal(
                    format!("a set that counts by '{family} {field}' has no equal in limiterctl"),
                    "count by source: ip saddr",
                ));
            }
        }
        if !words.skip(".") {
            return Ok(key);
        }
    }
}

fn expect(words: &mut Words, word: &str) -> Result<(), Stop> {
    let next = words.value(word)?;
    if next == word {
        return Ok(());
    }
    Err(Stop::no_equal(
        format!("'{next}' stands where '{word}' was expected"),
        "write: add @name { ip saddr ct count over 15 }",
    ))
}
