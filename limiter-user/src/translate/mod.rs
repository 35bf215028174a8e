//! Rules of iptables and nft into the equal `limiterctl attach`. Pure: text in, words out.
//!
//! - `source` finds the rules in what was given; `iptables` and `nft` read one each
//! - `rule` is what both have in common; `words`, `values` and `pace` are parts of it
//! - `fold` makes limits of the rules of a chain, `recent` of iptables' pairs of that name
//! - `combine` makes one command of the limits, and says where it is not quite the same; `command` writes it
//!
//! A rule is translated wholly or refused with the reason: whoever meets a word that he does not know stops.

mod combine;
mod command;
mod fold;
mod iptables;
mod nft;
mod pace;
mod recent;
mod rule;
mod source;
#[cfg(test)]
mod tests;
mod values;
mod words;

use schemars::JsonSchema;
use serde::Serialize;

use crate::failure::Failure;

use combine::Combined;
use fold::Fate;
use rule::Rule;
use words::Stop;

/// Where rules come from.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// One rule. All of it has to have an equal.
    Rule(&'a str),
    /// Lines, of which those that limit nothing may stay where they are.
    Lines(&'a str),
}

/// What rules do not say and a command must.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// The interfaces that were asked for.
    pub interfaces: Vec<String>,
    /// The interface to which the default route leads.
    pub route: Option<String>,
}

/// The answer. This is its JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Translation {
    /// Words of the equal command; nothing where a rule is refused, or none limits anything.
    pub command: Option<Vec<String>>,
    /// The same as a part of limiterctl.toml.
    #[serde(skip)]
    pub file: Option<String>,
    /// Where it is not quite the same, a line each.
    pub notes: Vec<String>,
    /// Rules that have no equal.
    pub refused: Vec<Untranslatable>,
    /// Rules that limit nothing, and stay where they are.
    pub stays: Vec<String>,
}

/// A rule without an equal.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Untranslatable {
    /// Where it stands: "rule 2", "line 17".
    pub rule: String,
    /// What in it has no equal.
    pub reason: String,
    /// What to do about that.
    pub cure: String,
}

/// Translates rules. `accepts` says whether `attach` takes the words of a command.
///
/// # Errors
///
/// Where something is no rule, or nothing tells on which interface the command is to hold.
pub fn translate(
    inputs: &[Input<'_>],
    defaults: &Defaults,
    accepts: impl Fn(&[String]) -> Result<(), Failure>,
) -> Result<Translation, Failure> {
    let mut rules: Vec<(Rule, bool)> = Vec::new();
    for (number, input) in (1..).zip(inputs) {
        match *input {
            Input::Rule(text) => rules.push((source::rule(&format!("rule {number}"), text)?, false)),
            Input::Lines(text) => rules.extend(source::lines(text)?.into_iter().map(|rule| (rule, true))),
        }
    }
    let mut answer = Translation::default();
    let mut combined = Combined::default();
    for ((rule, may_stay), fate) in rules.iter().zip(fates(&rules)) {
        let result = match fate {
            Fate::Limit(limit) => combined.add(*limit),
            Fate::NoEqual(failure) => Err(failure),
            Fate::Part => Ok(()),
            Fate::Idle if *may_stay => {
                answer.stays.push(rule.place.clone());
                Ok(())
            }
            Fate::Idle => Err(rule.refusal.clone().unwrap_or_else(|| {
                Failure::new("it limits nothing", "keep it where it is; limiterctl takes no other rule away")
            })),
        };
        answer.refused.extend(result.err().map(|failure| Untranslatable::new(&rule.place, failure)));
    }
    if !answer.refused.is_empty() {
        return Ok(answer);
    }
    match combined.command(defaults) {
        Ok(None) => {}
        Ok(Some((command, notes))) => match accepts(&command.words()) {
            Ok(()) => {
                answer.file = Some(command.file()?);
                (answer.command, answer.notes) = (Some(command.words()), notes);
            }
            Err(failure) => answer.refused.push(Untranslatable::new(&combined.place(), failure)),
        },
        Err(Stop::NoEqual(failure)) => {
            answer.refused.push(Untranslatable::new(&combined.place(), failure));
        }
        Err(Stop::Malformed(failure)) => return Err(failure),
    }
    Ok(answer)
}

impl Translation {
    /// The command as a person would type it.
    pub fn line(&self) -> Option<String> {
        // A comma needs no quotes, whatever shlex thinks.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ",./:_=@%+-".contains(c);
        let quoted = |word: &String| {
            if word.chars().all(is_plain) {
                word.clone()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        };
        let words = self.command.as_ref()?.iter();
        Some(words.map(quoted).collect::<Vec<_>>().join(" "))
    }
}

impl Untranslatable {
    fn new(place: &str, failure: Failure) -> Self {
        Self { rule: place.into(), reason: failure.cause, cure: failure.cure }
    }
}

/// What comes of each rule, in the order in which they were given.
fn fates(rules: &[(Rule, bool)]) -> Vec<Fate> {
    let mut chains: Vec<(&str, Vec<usize>)> = Vec::new();
    for (number, (rule, _)) in rules.iter().enumerate() {
        let name = rule.chain.name.as_str();
        let place = chains.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
            chains.push((name, Vec::new()));
            chains.len() - 1
        });
        let chain = &mut chains[place].1;
        chain.insert(rule.position.unwrap_or(usize::MAX).min(chain.len()), number);
    }
    let mut fates = vec![Fate::Idle; rules.len()];
    for (_, chain) in chains {
        let of_chain: Vec<&Rule> = chain.iter().map(|&number| &rules[number].0).collect();
        for (number, fate) in chain.iter().zip(fold::fold(&of_chain)) {
            fates[*number] = fate;
        }
    }
    fates
}
