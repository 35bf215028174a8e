//! The words of a rule, one after the other.

use crate::failure::Failure;

/// Why a rule is not read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It is a rule, but something in it has no equal.
    NoEqual(Failure),
    /// It is no rule: neither iptables nor nft would take it.
    Malformed(Failure),
}

impl Stop {
    /// Something in it has no equal.
    pub fn no_equal(reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::NoEqual(Failure::new(reason, cure))
    }

    /// It is no rule.
    pub fn malformed(cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::Malformed(Failure::new(cause, cure))
    }
}

/// What to do about a part without an equal.
pub const LEAVE: &str = "leave it out if the limit may do without it, or keep this rule where it is";

/// Words, and how far they have been read.
#[derive(Debug, Clone)]
pub struct Words {
    words: Vec<String>,
    at: usize,
}

impl Words {
    /// From the first on.
    pub const fn new(words: Vec<String>) -> Self {
        Self { words, at: 0 }
    }

    /// All, whether they have been read or not.
    pub fn all(&self) -> &[String] {
        &self.words
    }

    /// The next one, which stays.
    pub fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    /// The next one.
    pub fn take(&mut self) -> Option<String> {
        let word = self.words.get(self.at).cloned();
        self.at += usize::from(word.is_some());
        word
    }

    /// Takes the next one if it is this.
    pub fn skip(&mut self, word: &str) -> bool {
        let is_next = self.peek() == Some(word);
        self.at += usize::from(is_next);
        is_next
    }

    /// The one that must follow after `name`.
    pub fn value(&mut self, name: &str) -> Result<String, Stop> {
        self.take().ok_or_else(|| {
            Stop::malformed(format!("nothing follows after '{name}'"), "write the whole rule, in quotes")
        })
    }

    /// The number that must follow after `name`.
    pub fn number(&mut self, name: &str) -> Result<u64, Stop> {
        number(name, &self.value(name)?)
    }
}

/// A number, as the value of `name`.
pub fn number(name: &str, text: &str) -> Result<u64, Stop> {
    text.parse().map_err(|_| {
        Stop::malformed(format!("{name} '{text}' is not a number"), "write the rule as the firewall takes it")
    })
}

/// Puts a value into its place, once.
pub fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Stop> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => {
            Err(Stop::no_equal(format!("'{name}' is said twice"), "write what is to match in one place"))
        }
    }
}
