//! What can be asked about: `google.com`, `192.0.2.1`.

use std::net::IpAddr;
use std::str::FromStr;

use super::hostname::HostPattern;
use crate::failure::Failure;

/// One name, or one address.
pub enum Target {
    /// A name, in lower case.
    Name(String),
    /// An address; what was IPv4-mapped is IPv4.
    Address(IpAddr),
}

impl FromStr for Target {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match (text.parse()?, text.parse::<IpAddr>()) {
            (HostPattern::Exact(name), _) => Ok(Self::Name(name)),
            (HostPattern::Network(_), Ok(address)) => Ok(Self::Address(address.to_canonical())),
            _ => Err(Failure::new(
                format!("'{text}' is neither one name nor one address"),
                "give a name (google.com) or an address (192.0.2.1)",
            )),
        }
    }
}
