//! Values that both halves of the file have.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use limiter_common::gcra::MAX_HORIZON;

use super::at::At;
use super::fault::{Checked, Wrong};
use super::words::suggestion;
use crate::config::duration;
use crate::config::network::Network;
use crate::config::rate::{ByteRate, Rate};
use crate::failure::Failure;

/// The longest name of a rule, in bytes.
const MAX_NAME: usize = 64;

/// Any value that is written as text.
pub fn parsed<T: FromStr<Err = Failure>>(text: &At<String>) -> Checked<At<T>> {
    text.read(|text| text.parse())
}

/// A rate that the kernel can hold.
pub fn rate(text: &At<String>) -> Checked<At<Rate>> {
    text.read(|text| text.parse().and_then(|rate: Rate| rate.limit(0).map(|_| rate)))
}

/// A rate of bytes that the kernel can hold.
pub fn bytes(text: &At<String>) -> Checked<At<ByteRate>> {
    text.read(|text| text.parse().and_then(|rate: ByteRate| rate.limit().map(|_| rate)))
}

/// A back-off that the kernel can hold.
pub fn backoff(text: &At<String>) -> Checked<At<Duration>> {
    text.read(|text| duration::parse(text).and_then(|time| held(text, time)))
}

/// The same where it is known what was written.
pub fn held(text: &str, time: Duration) -> Result<Duration, Failure> {
    let most = Duration::from_nanos(MAX_HORIZON);
    if time > most {
        let hours = most.as_secs() / 3600;
        return Err(Failure::new(
            format!("'{text}' is too long"),
            format!("{hours} hours are the longest back-off"),
        ));
    }
    Ok(time)
}

/// One of a few words.
pub fn word<T: Copy>(text: &At<String>, words: &[(&str, T)]) -> Checked<At<T>> {
    text.read(|text| {
        let known = || words.iter().map(|(word, _)| *word);
        words.iter().find(|(word, _)| word == text).map(|(_, value)| *value).ok_or_else(|| {
            let cure = format!(
                "{}choose one of: {}",
                suggestion(text, known()),
                known().collect::<Vec<_>>().join(", ")
            );
            Failure::new(format!("'{text}' is not known here"), cure)
        })
    })
}

/// A number within bounds.
pub fn number(number: &At<i64>, least: i64, most: i64) -> Checked<At<i64>> {
    if (least..=most).contains(number) {
        return Ok(number.clone());
    }
    Err(number
        .wrong(format!("{} is out of bounds", **number), format!("write a number from {least} to {most}")))
}

/// Networks, none of them twice.
pub fn networks(texts: &[At<String>]) -> Checked<Vec<At<Network>>> {
    let networks: Vec<At<Network>> = texts.iter().map(parsed).collect::<Checked<_>>()?;
    let mut seen = HashSet::new();
    match networks.iter().find(|network| !seen.insert(***network)) {
        Some(twice) => {
            Err(twice.wrong(format!("'{}' is on the list twice", **twice), "leave out one of the two"))
        }
        None => Ok(networks),
    }
}

/// Names of interfaces or cgroups, at least one, none empty or twice.
pub fn places(names: &At<Vec<At<String>>>, what: &str, example: &str) -> Checked<Vec<At<String>>> {
    if names.is_empty() {
        let cure = format!("an empty list does not mean all: name them, as in {example}");
        return Err(names.wrong(format!("no {what} is named"), cure));
    }
    let mut seen = HashSet::new();
    for name in names.iter() {
        if name.is_empty() || name.contains(|letter: char| letter.is_control()) {
            return Err(
                name.wrong(format!("this is the name of no {what}"), format!("name one, as in {example}"))
            );
        }
        if !seen.insert(name.as_str()) {
            return Err(name.wrong(format!("{what} '{}' is named twice", **name), "name it once"));
        }
    }
    Ok(names.to_vec())
}

/// A name for a rule that no other has. `taken` are those that mean something else.
pub fn name<'a>(name: &'a At<String>, taken: &[&str], seen: &mut HashSet<&'a str>) -> Checked<()> {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_letter) {
        let cure = format!("letters, digits, '-', '_' and '.' make a name, up to {MAX_NAME}");
        return Err(name.wrong(format!("'{}' is no name for a rule", **name), cure));
    }
    if taken.contains(&name.as_str()) {
        let cure = format!("choose another name; these are taken: {}", taken.join(", "));
        return Err(name.wrong(format!("'{}' means something else already", **name), cure));
    }
    if !seen.insert(name) {
        return Err(
            name.wrong(format!("two rules are called '{}'", **name), "give each rule a name of its own")
        );
    }
    Ok(())
}

/// Refuses the first rule that is one too many.
pub fn count<T>(rules: &[At<T>], most: usize) -> Checked<()> {
    match rules.get(most) {
        Some(over) => Err(Wrong::new(
            over.span(),
            format!("{} rules are too many", rules.len()),
            format!("{most} are the most, and this is the first beyond; a rule may list a lot"),
        )),
        None => Ok(()),
    }
}
