//! What a rule lists: `google.com`, `*.google.com`, `192.0.2.0/24`, `2001:db8::1`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use limiter_common::key::Address;

use super::network::Network;
use super::unreadable;
use crate::failure::Failure;

const CURE: &str =
    "write a name (google.com), all names below one (*.google.com), or a network (192.0.2.0/24)";
/// Of the form with dots (RFC 1035, 2.3.4).
const MAX_TEXT: usize = 253;
const MAX_LABEL: usize = 63;

/// A name, all names below one, or a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One name, in lower case and without the dot at its end.
    Exact(String),
    /// Every name that ends in a dot and this one.
    Wildcard(String),
    /// Every address in it.
    Network(Network),
}

impl HostPattern {
    /// A network as the kernel looks it up: its address, and how many bits of 128 count. `None` for names.
    pub fn mapped(&self) -> Option<(Address, u32)> {
        match self {
            Self::Network(network) => Some(network.mapped()),
            Self::Exact(_) | Self::Wildcard(_) => None,
        }
    }
}

impl From<IpAddr> for HostPattern {
    fn from(address: IpAddr) -> Self {
        Self::Network(address.into())
    }
}

impl FromStr for HostPattern {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let trimmed = text.trim();
        if let Ok(address) = trimmed.parse::<IpAddr>() {
            return Ok(address.into());
        }
        if trimmed.contains('/') {
            return text.parse().map(Self::Network);
        }
        match trimmed.strip_prefix("*.") {
            Some(rest) => name(text, rest).map(Self::Wildcard),
            None => name(text, trimmed).map(Self::Exact),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

fn name(text: &str, part: &str) -> Result<String, Failure> {
    let bad = |part: &str, what: &str| Err(unreadable(text, part, what, CURE));
    let bare = part.strip_suffix('.').unwrap_or(part);
    if bare.is_empty() {
        return bad(part, "is not a name");
    }
    for label in bare.split('.') {
        if label.is_empty() {
            return bad(label, "should be a label: no two dots may meet");
        }
        if label.contains('*') {
            return bad(label, "is a '*' that is not the whole first label");
        }
        if let Some(odd) = label.chars().find(|&c| !is_letter(c)) {
            let place = label.find(odd).unwrap_or(0);
            return bad(&label[place..place + odd.len_utf8()], "is no letter of a name");
        }
    }
    let ascii = if bare.is_ascii() {
        bare.to_ascii_lowercase()
    } else {
        match idna::domain_to_ascii(bare) {
            Ok(ascii) => ascii,
            Err(_) => return bad(bare, "is no name in any language (UTS 46)"),
        }
    };
    if ascii.len() > MAX_TEXT || ascii.split('.').any(|label| label.len() > MAX_LABEL) {
        return bad(bare, "is too long: 253 bytes, and 63 between two dots, are the most");
    }
    if ascii.split('.').all(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return bad(bare, "is neither an address nor a name");
    }
    Ok(ascii)
}

/// Letters, digits and hyphens of any language, and the underscore of service names.
fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_wildcards_and_networks_are_read() {
        for (text, canonical) in [
            ("google.com", "google.com"),
            (" GOOGLE.com. ", "google.com"),
            ("*.Google.com", "*.google.com"),
            ("_dns.resolver.arpa", "_dns.resolver.arpa"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at() {
        let long = ["a"; 128].join(".");
        for (text, cause) in [
            ("", "'': '' at character 1 is not a name"),
            (".", "'.': '.' at character 1 is not a name"),
            ("*", "'*': '*' at character 1 is a '*' that is not the whole first label"),
            ("*.", "'*.': '' at character 3 is not a name"),
            ("a.*.com", "'a.*.com': '*' at character 3 is a '*' that is not the whole first label"),
            (
                "*google.com",
                "'*google.com': '*google' at character 1 is a '*' that is not the whole first label",
            ),
            ("*.*.com", "'*.*.com': '*' at character 3 is a '*' that is not the whole first label"),
            ("a..com", "'a..com': '' at character 3 should be a label: no two dots may meet"),
            ("http://a", "'http://a': 'http://a' at character 1 is not a network"),
            ("a b", "'a b': ' ' at character 2 is no letter of a name"),
            ("a:80", "'a:80': ':' at character 2 is no letter of a name"),
            ("1.2.3", "'1.2.3': '1.2.3' at character 1 is neither an address nor a name"),
            ("192.0.2.1/24", "'192.0.2.1/24': '192.0.2.1/24' at character 1 has bits set behind its prefix"),
            ("::/0", "'::/0': '::/0' at character 1 is two networks in one"),
            ("::/64", "'::/64': '::/64' at character 1 is two networks in one"),
            ("192.0.2.0/33", "'192.0.2.0/33': '192.0.2.0/33' at character 1 is not a network"),
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap_err().cause, cause);
        }
        assert!(long.parse::<HostPattern>().unwrap_err().cause.contains("is too long"));
        assert!("a".repeat(64).parse::<HostPattern>().is_err());
        let cure = "192.0.2.1/24".parse::<HostPattern>().unwrap_err().cure;
        assert_eq!(cure, "the network that it lies in is 192.0.2.0/24");
    }

    #[test]
    fn ipv4_is_looked_up_in_its_mapped_form() {
        let mapped = |text: &str| text.parse::<HostPattern>().unwrap().mapped();
        assert_eq!(mapped("192.0.2.0/24"), Some((Address::from_v4([192, 0, 2, 0]), 120)));
        assert_eq!(mapped("0.0.0.0/0"), Some((Address::from_v4([0; 4]), 96)));
        assert_eq!(mapped("::1").map(|(_, length)| length), Some(128));
        assert_eq!(mapped("google.com"), None);
    }
}
