//! A group of users by its name, as `/etc/group` has it.

use std::fmt;
use std::str::FromStr;

use nix::unistd::{Gid, Group};

use crate::failure::Failure;

/// The longest name of a group that shadow's tools make, in bytes.
const MAX_NAME: usize = 32;

/// What a group is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName(String);

impl GroupName {
    /// Its number on this machine.
    ///
    /// # Errors
    ///
    /// Where there is no such group.
    pub fn id(&self) -> Result<Gid, Failure> {
        match Group::from_name(&self.0) {
            Ok(Some(group)) => Ok(group.gid),
            Ok(None) => Err(Failure::new(
                format!("no group is called '{self}' on this machine"),
                format!("make it: groupadd --system {self}; or name another"),
            )),
            Err(error) => Err(Failure::new(
                format!("cannot look up the group '{self}': {error}"),
                "see what getent group says",
            )),
        }
    }
}

impl FromStr for GroupName {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '$');
        if text.is_empty() || text.len() > MAX_NAME || text.starts_with('-') || !text.chars().all(is_letter) {
            return Err(Failure::new(
                format!("'{text}' is no name of a group"),
                "name one that getent group shows, as in \"shop\"",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_name() {
        assert_eq!("root".parse::<GroupName>().and_then(|group| group.id()), Ok(Gid::from_raw(0)));
        let failure = "nobody.is-called_so".parse::<GroupName>().and_then(|group| group.id()).unwrap_err();
        assert!(failure.cause.contains("no group is called 'nobody.is-called_so'"), "{failure:?}");
        for text in ["", "-shop", "a b", "a:b", "a\n", "123456789012345678901234567890123"] {
            assert!(text.parse::<GroupName>().unwrap_err().cause.contains("is no name of a group"), "{text}");
        }
    }
}
