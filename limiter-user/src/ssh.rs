//! Where the person who types comes from.

use std::env;
use std::fs;
use std::net::IpAddr;

/// The variable in which sshd tells: client address, client port, server address, server port.
const VARIABLE: &str = "SSH_CONNECTION";
/// How many parents are looked at: sudo leaves the variable out.
const PARENTS: usize = 16;

/// The other end of an SSH session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The port of this machine that it came to.
    pub port: u16,
}

/// The peer of the session that this process belongs to, if it is one of SSH.
pub fn peer() -> Option<Peer> {
    if let Ok(value) = env::var(VARIABLE) {
        return parse(&value);
    }
    let parent = |pid: &u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; after it come the state and the parent.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().filter(|pid| *pid > 1)
    };
    std::iter::successors(Some(std::process::id()), parent).skip(1).take(PARENTS).find_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let variable = format!("{VARIABLE}=");
        let mut words = environment.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok());
        words.find_map(|word| parse(word.strip_prefix(&variable)?))
    })
}

fn parse(value: &str) -> Option<Peer> {
    let words: Vec<_> = value.split_whitespace().collect();
    let [address, _, _, port] = words[..] else { return None };
    Some(Peer { address: address.parse().ok()?, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_words_are_a_connection() {
        let peer = parse("2001:db8::7 50000 2001:db8::1 22");
        assert_eq!(peer, Some(Peer { address: "2001:db8::7".parse().unwrap(), port: 22 }));
        for bad in ["", "192.0.2.1 1 192.0.2.2", "192.0.2.1 1 192.0.2.2 x", "a 1 b 22"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
