//! The numbers that rules have in the kernel's tables: each keeps its own for as long as it is there, so that what is
//! counted and held under a number goes on to mean the same rule when others come and go.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Numbers by the names of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    by_name: BTreeMap<String, u32>,
    /// The highest number that a rule ever had.
    highest: u32,
}

impl Numbers {
    /// The number of the rule with this name.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The numbers of rules that follow upon these: who is there already keeps his own; who is new gets one that none had
    /// yet, or where these have run out, one that nobody has any more.
    ///
    /// # Errors
    ///
    /// Two rules of one name; more rules than numbers.
    pub fn follow<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        range: RangeInclusive<u32>,
    ) -> Result<Self, Failure> {
        let mut after = Self { by_name: BTreeMap::new(), highest: self.highest.max(range.start() - 1) };
        let mut new = Vec::new();
        for name in names {
            let known = self.get(name).filter(|number| range.contains(number));
            // Until it has its number, that of nobody.
            if after.by_name.insert(name.to_owned(), known.unwrap_or(u32::MAX)).is_some() {
                return Err(Failure::new(
                    format!("two rules are called '{name}'"),
                    "give each rule a name of its own",
                ));
            }
            new.extend(known.is_none().then_some(name));
        }
        for name in new {
            let number = after.free(self, &range).ok_or_else(|| {
                Failure::new(
                    format!("{} rules are too many", after.by_name.len()),
                    format!("{} are the most", range.clone().count()),
                )
            })?;
            after.highest = after.highest.max(number);
            after.by_name.insert(name.to_owned(), number);
        }
        Ok(after)
    }

    /// Those that rules have here and that no rule had before.
    pub fn new_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = u32> + 'a {
        self.by_name
            .iter()
            .filter(|(name, number)| before.get(name) != Some(**number))
            .map(|(_, &number)| number)
    }

    fn free(&self, before: &Self, range: &RangeInclusive<u32>) -> Option<u32> {
        let is_free = |numbers: &Self, number| numbers.by_name.values().all(|&taken| taken != number);
        if self.highest < *range.end() {
            return Some(self.highest + 1);
        }
        let free = |number: &u32| is_free(self, *number);
        // One that has just been left may still be judged by for as long as a packet takes.
        range
            .clone()
            .filter(free)
            .find(|&number| is_free(before, number))
            .or_else(|| range.clone().find(free))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(before: &Numbers, names: &[&str]) -> Numbers {
        before.follow(names.iter().copied(), 1..=4).unwrap()
    }

    fn pairs(numbers: &Numbers) -> Vec<(&str, u32)> {
        numbers.by_name.iter().map(|(name, number)| (name.as_str(), *number)).collect()
    }

    #[test]
    fn a_rule_keeps_its_number_whoever_comes_and_goes() {
        let first = numbers(&Numbers::default(), &["web", "ssh"]);
        assert_eq!(pairs(&first), [("ssh", 2), ("web", 1)]);
        let second = numbers(&first, &["mail", "ssh"]);
        assert_eq!(pairs(&second), [("mail", 3), ("ssh", 2)], "not the number that web has just left");
        assert_eq!(second.new_since(&first).collect::<Vec<_>>(), [3]);
        assert_eq!(pairs(&numbers(&second, &["web", "ssh"])), [("ssh", 2), ("web", 4)]);
    }

    #[test]
    fn numbers_that_ran_out_are_given_again_the_one_just_left_last() {
        let full = numbers(&Numbers::default(), &["a", "b", "c", "d"]);
        let three = numbers(&full, &["a", "b", "c"]);
        let other = numbers(&three, &["x", "b", "c"]);
        assert_eq!(other.get("x"), Some(4), "1 was a's until now");
        assert_eq!(numbers(&full, &["a", "b", "c", "y"]).get("y"), Some(4), "there is no other");
    }

    #[test]
    fn two_rules_of_one_name_and_too_many_rules_are_refused() {
        let refused =
            |names: &[&str]| Numbers::default().follow(names.iter().copied(), 1..=4).unwrap_err().cause;
        assert_eq!(refused(&["a", "b", "a"]), "two rules are called 'a'");
        assert_eq!(refused(&["a", "b", "c", "d", "e"]), "5 rules are too many");
    }
}
