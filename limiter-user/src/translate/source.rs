//! Finds rules: in one argument, and in lines as `iptables-save`, `iptables -S` and `nft list ruleset` print them.

use crate::failure::Failure;

use super::iptables::{self, Context};
use super::nft;
use super::rule::{Chain, Hook, Rule};

/// One rule, as it is typed.
///
/// # Errors
///
/// Where it is none.
pub fn rule(place: &str, text: &str) -> Result<Rule, Failure> {
    let context = Context { v6: false, table: "filter" };
    one(place, text, context, &Block::default()).map_err(|failure| at(place, failure))
}

/// The rules among lines.
///
/// # Errors
///
/// The first line that is none, and nothing that belongs to them.
pub fn lines(text: &str) -> Result<Vec<Rule>, Failure> {
    let mut rules = Vec::new();
    let (mut v6, mut table) = (false, "filter");
    let mut block = Block::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if comment.contains("tables-save") {
                v6 = comment.contains("ip6tables-save");
            }
        } else if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        } else if !belongs_to_save(line) {
            let place = format!("line {number}");
            let words = nft::split(line).unwrap_or_default();
            if !block.takes(&words) {
                let context = Context { v6, table };
                let rule = one(&place, line, context, &block);
                rules.push(rule.map_err(|failure| at(&place, failure))?);
            }
        }
    }
    Ok(rules)
}

fn at(place: &str, failure: Failure) -> Failure {
    Failure::new(format!("{place}: {}", failure.cause), failure.cure)
}

/// What surrounds the rules of iptables.
fn belongs_to_save(line: &str) -> bool {
    line.is_empty() || line == "COMMIT" || [":", "-P ", "-N "].iter().any(|start| line.starts_with(start))
}

/// Where in a list of nft's a line is.
struct Block {
    family: String,
    table: String,
    chain: Chain,
    in_chain: bool,
    /// Braces that are open in a block that holds no rules.
    others: usize,
}

impl Default for Block {
    fn default() -> Self {
        // A rule of nft without its chain: most are for packets that come in.
        let chain = Chain { name: "nft".into(), hook: Hook::Input };
        Self { family: "inet".into(), table: String::new(), chain, in_chain: false, others: 0 }
    }
}

impl Block {
    /// Whether a line is part of what surrounds the rules.
    fn takes(&mut self, words: &[String]) -> bool {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let count = |brace: &str| words.iter().filter(|word| **word == brace).count();
        if self.others > 0 {
            self.others = (self.others + count("{")).saturating_sub(count("}"));
            return true;
        }
        match words[..] {
            ["table", family, name, "{"] => {
                (self.family, self.table) = (family.into(), name.into());
            }
            ["table", name, "{"] => (self.family, self.table) = ("ip".into(), name.into()),
            ["chain", name, "{"] => {
                let name = format!("nft {} {} {name}", self.family, self.table);
                (self.chain, self.in_chain) = (Chain { name, hook: Hook::Unknown }, true);
            }
            ["type", "filter", "hook", hook, ..] if self.in_chain => {
                self.chain.hook = match hook {
                    "input" => Hook::Input,
                    "prerouting" => Hook::Prerouting,
                    "forward" => Hook::Forward,
                    "output" | "postrouting" => Hook::Output,
                    _ => Hook::Unknown,
                };
            }
            ["type" | "policy" | "comment", ..] if self.in_chain => {}
            ["}"] if self.in_chain => {
                *self = Self { family: self.family.clone(), table: self.table.clone(), ..Self::default() }
            }
            ["}"] => *self = Self::default(),
            [_, .., "{"] if !self.in_chain && !self.table.is_empty() => self.others = 1,
            _ => return false,
        }
        true
    }
}

/// A rule of either, with or without the command before it.
fn one(place: &str, text: &str, context: Context<'_>, block: &Block) -> Result<Rule, Failure> {
    let text = text.trim();
    let text = text.strip_prefix("sudo ").unwrap_or(text).trim_start();
    // Counters, from iptables-save --counters.
    let text = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(_, rest)| rest);
    let text = text.trim_start();
    let (program, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match program.rsplit('/').next().unwrap_or_default() {
        "iptables" | "iptables-legacy" | "iptables-nft" => {
            iptables::read(place, shell_words(rest)?, Context { v6: false, ..context })
        }
        "ip6tables" | "ip6tables-legacy" | "ip6tables-nft" => {
            iptables::read(place, shell_words(rest)?, Context { v6: true, ..context })
        }
        option if option.starts_with('-') => iptables::read(place, shell_words(text)?, context),
        "nft" => {
            // The whole command in quotes of its own, or word by word.
            let quoted =
                shell_words(rest).ok().filter(|words| words.len() == 1).map(|mut words| words.remove(0));
            of_nft(place, &quoted.unwrap_or_else(|| rest.to_owned()), None)
        }
        _ => of_nft(place, text, Some(block)),
    }
}

fn of_nft(place: &str, text: &str, block: Option<&Block>) -> Result<Rule, Failure> {
    let words = nft::split(text)?;
    match block {
        _ if nft::is_command(&words) => nft::command(place, &words),
        Some(block) if block.in_chain || nft::is_bare(&words) => {
            nft::body_of(place, &words, &block.family, block.chain.clone())
        }
        _ => Err(Failure::new(
            format!("'{text}' is neither a rule of iptables nor one of nft"),
            "write one whole rule in quotes: 'iptables -A INPUT -p tcp --syn --dport 80 …', 'nft add rule inet filter input …'",
        )),
    }
}

fn shell_words(text: &str) -> Result<Vec<String>, Failure> {
    shlex::split(text).ok_or_else(|| {
        Failure::new(format!("a quote does not end: {text}"), "write the whole rule, and each quote twice")
    })
}
