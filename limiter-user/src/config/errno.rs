//! What a refused call gets.

use std::fmt;
use std::str::FromStr;

use nix::libc;

use crate::failure::Failure;

/// An error that no library takes for "in progress".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefusalErrno {
    /// Disk quota exceeded: no other cause of it at `connect()`, so it can be told from all others.
    #[default]
    Edquot,
    /// Operation not permitted.
    Eperm,
    /// Permission denied.
    Eacces,
    /// Connection refused: as if the other end had.
    Econnrefused,
    /// No route to host.
    Ehostunreach,
}

impl RefusalErrno {
    const ALL: [Self; 5] = [Self::Edquot, Self::Eperm, Self::Eacces, Self::Econnrefused, Self::Ehostunreach];

    /// Its number on this machine.
    pub const fn number(self) -> i32 {
        match self {
            Self::Edquot => libc::EDQUOT,
            Self::Eperm => libc::EPERM,
            Self::Eacces => libc::EACCES,
            Self::Econnrefused => libc::ECONNREFUSED,
            Self::Ehostunreach => libc::EHOSTUNREACH,
        }
    }
}

impl fmt::Display for RefusalErrno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edquot => "EDQUOT",
            Self::Eperm => "EPERM",
            Self::Eacces => "EACCES",
            Self::Econnrefused => "ECONNREFUSED",
            Self::Ehostunreach => "EHOSTUNREACH",
        })
    }
}

impl FromStr for RefusalErrno {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let cure = "choose EDQUOT, EPERM, EACCES, ECONNREFUSED or EHOSTUNREACH";
        match text {
            "EAGAIN" | "EWOULDBLOCK" | "EINPROGRESS" | "EALREADY" | "EINTR" => Err(Failure::new(
                format!(
                    "'{text}' is what asynchronous programs take for a connection in progress: they would hang"
                ),
                cure,
            )),
            _ => Self::ALL
                .into_iter()
                .find(|errno| errno.to_string() == text)
                .ok_or_else(|| Failure::new(format!("'{text}' is no error that can be given"), cure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_by_name_and_those_of_progress_are_not() {
        for errno in RefusalErrno::ALL {
            assert_eq!(errno.to_string().parse(), Ok(errno));
        }
        assert!("EAGAIN".parse::<RefusalErrno>().unwrap_err().cause.contains("they would hang"));
        assert_eq!("EIO".parse::<RefusalErrno>().unwrap_err().cause, "'EIO' is no error that can be given");
    }
}
