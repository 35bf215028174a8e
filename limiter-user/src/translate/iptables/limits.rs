//! Options of iptables' connlimit, hashlimit, limit and recent.

use crate::translate::pace::Pace;
use crate::translate::rule::{Act, Limiter, Recent};
use crate::translate::values::source_length;
use crate::translate::words::{Stop, Words, number, once};

/// What a burst is where none is said, in hashlimit and in limit.
const BURST: u64 = 5;
/// Units of time, of which any beginning will do.
const UNITS: [(&str, u64); 4] = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)];

/// What has been said.
#[derive(Debug, Default)]
pub struct Limits {
    /// Whether a size of a hash table was said.
    sized: bool,
    /// Milliseconds after which a source is forgotten.
    expire: Option<u64>,
    open: Option<(u64, bool)>,
    open_mask: Option<u8>,
    rate: Option<(u64, u64, bool)>,
    burst: Option<u64>,
    modes: Option<Vec<String>>,
    source_mask: Option<u8>,
    set: Option<()>,
    update: Option<bool>,
    seconds: Option<u64>,
    hits: Option<u64>,
    name: Option<String>,
    recent_mask: Option<u8>,
}

impl Limits {
    /// Reads an option if it is of one of the modules that are loaded.
    pub fn option(
        &mut self,
        option: &str,
        modules: &[String],
        words: &mut Words,
        v6: bool,
    ) -> Result<bool, Stop> {
        let has = |module: &str| modules.iter().any(|loaded| loaded == module);
        if has("connlimit") && self.connlimit(option, words, v6)? {
            return Ok(true);
        }
        if has("hashlimit") && self.hashlimit(option, words, v6)? {
            return Ok(true);
        }
        if has("recent") && self.recent(option, words, v6)? {
            return Ok(true);
        }
        Ok(has("limit") && self.limit(option, words)?)
    }

    fn connlimit(&mut self, option: &str, words: &mut Words, v6: bool) -> Result<bool, Stop> {
        match option {
            "--connlimit-above" => once(&mut self.open, option, (words.number(option)?, true))?,
            "--connlimit-upto" => once(&mut self.open, option, (words.number(option)?, false))?,
            "--connlimit-mask" => {
                once(&mut self.open_mask, option, source_length(option, &words.value(option)?, v6)?)?;
            }
            "--connlimit-saddr" => {}
            "--connlimit-daddr" => {
                return Err(Stop::no_equal(
                    "'--connlimit-daddr' counts by destination, which limiterctl does not do inbound",
                    "count by source: --connlimit-saddr",
                ));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn hashlimit(&mut self, option: &str, words: &mut Words, v6: bool) -> Result<bool, Stop> {
        match option {
            "--hashlimit-above" => {
                let (count, seconds) = rate(option, &words.value(option)?)?;
                once(&mut self.rate, option, (count, seconds, true))?;
            }
            "--hashlimit-upto" | "--hashlimit" => {
                let (count, seconds) = rate(option, &words.value(option)?)?;
                once(&mut self.rate, option, (count, seconds, false))?;
            }
            "--hashlimit-burst" => {
                let value = words.value(option)?;
                once(&mut self.burst, option, packets(option, &value)?)?;
            }
            "--hashlimit-mode" => {
                let modes = words.value(option)?.split(',').map(str::to_owned).collect();
                once(&mut self.modes, option, modes)?;
            }
            "--hashlimit-srcmask" => {
                once(&mut self.source_mask, option, source_length(option, &words.value(option)?, v6)?)?;
            }
            "--hashlimit-name" => drop(words.value(option)?),
            "--hashlimit-htable-size" | "--hashlimit-htable-max" => {
                words.number(option)?;
                self.sized = true;
            }
            "--hashlimit-htable-expire" => once(&mut self.expire, option, words.number(option)?)?,
            "--hashlimit-htable-gcinterval" => drop(words.number(option)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn limit(&mut self, option: &str, words: &mut Words) -> Result<bool, Stop> {
        match option {
            "--limit" => {
                let (count, seconds) = rate(option, &words.value(option)?)?;
                once(&mut self.rate, option, (count, seconds, false))?;
            }
            "--limit-burst" => once(&mut self.burst, option, words.number(option)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn recent(&mut self, option: &str, words: &mut Words, v6: bool) -> Result<bool, Stop> {
        match option {
            "--set" => once(&mut self.set, option, ())?,
            "--update" => once(&mut self.update, option, true)?,
            "--rcheck" => once(&mut self.update, option, false)?,
            "--seconds" => once(&mut self.seconds, option, words.number(option)?)?,
            "--hitcount" => once(&mut self.hits, option, words.number(option)?)?,
            "--name" => once(&mut self.name, option, words.value(option)?)?,
            "--mask" => {
                once(&mut self.recent_mask, option, source_length(option, &words.value(option)?, v6)?)?;
            }
            "--rsource" | "--reap" => {}
            "--rdest" | "--rttl" | "--remove" => {
                return Err(Stop::no_equal(
                    format!("'{option}' of recent has no equal in limiterctl"),
                    "write a pair of rules: --set, and --update --seconds 60 --hitcount 4",
                ));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is to be known about sizes and times, for which the command has no flags.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.sized {
            notes.push("sources are kept in a table of fixed size: see --max-sources".into());
        }
        // The kernel's collector empties a bucket by removing it (htable_gc in net/netfilter/xt_hashlimit.c).
        if let (Some(expire), Some((count, seconds, _))) = (self.expire, self.rate) {
            let burst = u128::from(self.burst.unwrap_or(BURST));
            let full_after = burst * u128::from(seconds) * 1000 / u128::from(count);
            if u128::from(expire) < full_after {
                notes.push(format!(
                    "hashlimit forgets a source after {expire} ms; here its burst comes back in {full_after} ms"
                ));
            }
        }
        notes
    }

    /// The one limit that was said.
    pub fn limiter(self, modules: &[String], v6: bool) -> Result<Option<Limiter>, Stop> {
        let mut limiting = modules.iter().filter(|module| super::LIMITING.contains(&module.as_str()));
        let Some(module) = limiting.next() else { return Ok(None) };
        if let Some(other) = limiting.next() {
            return Err(Stop::no_equal(
                format!("'-m {module}' and '-m {other}' hold only together"),
                "write each limit in a rule of its own",
            ));
        }
        let host = if v6 { 128 } else { 32 };
        let nothing = |option| {
            Stop::malformed(format!("'-m {module}' without {option} limits nothing"), "write the whole rule")
        };
        let limiter = match module.as_str() {
            "connlimit" => {
                let (count, above) = self.open.ok_or_else(|| nothing("--connlimit-above"))?;
                Limiter::Open { count, prefix: self.open_mask.unwrap_or(host), above }
            }
            "hashlimit" => {
                let said = self.rate.ok_or_else(|| nothing("--hashlimit-above"))?;
                let modes = self.modes.unwrap_or_default();
                let (prefix, per_port) = mode(&modes, self.source_mask, host)?;
                per(said, self.burst, prefix, per_port)
            }
            "limit" => per(self.rate.unwrap_or((3, 3600, false)), self.burst, None, false),
            _ => Limiter::Recent(Recent {
                name: self.name.unwrap_or_else(|| "DEFAULT".into()),
                prefix: self.recent_mask.unwrap_or(host),
                act: act(self.set, self.update, self.seconds, self.hits)?,
            }),
        };
        Ok(Some(limiter))
    }
}

fn per(
    (count, seconds, above): (u64, u64, bool),
    burst: Option<u64>,
    prefix: Option<u8>,
    per_port: bool,
) -> Limiter {
    let pace = Pace { count, seconds, burst: burst.unwrap_or(BURST) };
    Limiter::Rate { pace, prefix, per_port, above }
}

/// What makes one source, and whether each port counts by itself.
fn mode(modes: &[String], mask: Option<u8>, host: u8) -> Result<(Option<u8>, bool), Stop> {
    let has = |name: &str| modes.iter().any(|mode| mode == name);
    if let Some(other) = modes.iter().find(|mode| !["srcip", "dstport"].contains(&mode.as_str())) {
        return Err(Stop::no_equal(
            format!("'--hashlimit-mode {other}' has no equal in limiterctl"),
            "count by source: --hashlimit-mode srcip",
        ));
    }
    if mask.is_some() && !has("srcip") {
        return Err(Stop::no_equal(
            "'--hashlimit-srcmask' stands without '--hashlimit-mode srcip'",
            "add --hashlimit-mode srcip",
        ));
    }
    Ok((has("srcip").then(|| mask.unwrap_or(host)), has("dstport")))
}

fn act(set: Option<()>, update: Option<bool>, seconds: Option<u64>, hits: Option<u64>) -> Result<Act, Stop> {
    match (set, update, seconds) {
        (Some(()), None, None) if hits.is_none() => Ok(Act::Set),
        (None, Some(update), Some(seconds)) if seconds > 0 => {
            Ok(Act::Check { seconds, hits: hits.unwrap_or(1).max(1), update })
        }
        (None, Some(_), _) => Err(Stop::no_equal(
            "recent without --seconds never forgets",
            "say --seconds 60; for sources that are refused for good there is: limiterctl deny add",
        )),
        _ => Err(Stop::malformed(
            "recent takes one of --set, --update and --rcheck",
            "write a pair of rules: --set, and --update --seconds 60 --hitcount 4",
        )),
    }
}

/// So many in so many seconds.
fn rate(option: &str, text: &str) -> Result<(u64, u64), Stop> {
    let (count, unit) = text.split_once('/').unwrap_or((text, "second"));
    let unit_of = |word: &str| {
        let word = word.to_lowercase();
        UNITS
            .iter()
            .find(|(name, _)| !word.is_empty() && name.starts_with(&word))
            .map(|(_, seconds)| *seconds)
    };
    let bytes = count.trim_start_matches(|c: char| c.is_ascii_digit()).to_lowercase();
    if ["b", "kb", "mb", "gb"].contains(&bytes.as_str()) {
        return Err(Stop::no_equal(
            format!("'{option} {text}' limits bytes, and limiterctl new connections"),
            "write a number of connections: 900/min",
        ));
    }
    let seconds = unit_of(unit).ok_or_else(|| {
        Stop::malformed(
            format!("'{unit}' of '{option} {text}' is not a unit of time"),
            "write second, minute, hour or day",
        )
    })?;
    match number(option, count)? {
        0 => Err(Stop::malformed(format!("'{option} {text}' is no rate"), "write a number above 0")),
        count => Ok((count, seconds)),
    }
}

/// A burst, which is bytes where the rate is.
fn packets(option: &str, text: &str) -> Result<u64, Stop> {
    match number(option, text)? {
        0 => Err(Stop::malformed(format!("'{option} {text}' is no burst"), "write a number above 0")),
        burst => Ok(burst),
    }
}
