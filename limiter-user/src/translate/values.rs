//! Addresses, masks and ports, as both languages write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::network::Network;

use super::words::Stop;

/// A network, with a length or a mask, and whatever bits behind it.
pub fn network(name: &str, text: &str) -> Result<Network, Stop> {
    let unreadable = || {
        Stop::no_equal(
            format!("'{name} {text}' is not one network"),
            "write its address: 203.0.113.0/24 or 2001:db8::/32",
        )
    };
    let net = match text.split_once('/') {
        None => IpNet::from(text.parse::<IpAddr>().map_err(|_| unreadable())?),
        Some((address, mask)) => {
            let address = address.parse::<IpAddr>().map_err(|_| unreadable())?;
            let length = length(mask, address.is_ipv6()).ok_or_else(unreadable)?;
            IpNet::new(address, length).map_err(|_| unreadable())?
        }
    };
    net.trunc().to_string().parse().map_err(Stop::NoEqual)
}

/// So many bits, as a number or as the mask that has them.
pub fn length(text: &str, v6: bool) -> Option<u8> {
    match text.parse::<u8>() {
        Ok(length) => (length <= if v6 { 128 } else { 32 }).then_some(length),
        Err(_) if v6 => {
            let mask = u128::from(text.parse::<Ipv6Addr>().ok()?);
            (mask.leading_ones() + mask.trailing_zeros() >= 128).then_some(mask.leading_ones() as u8)
        }
        Err(_) => {
            let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
            (mask.leading_ones() + mask.trailing_zeros() >= 32).then_some(mask.leading_ones() as u8)
        }
    }
}

/// The same where it makes one source: at least one bit.
pub fn source_length(name: &str, text: &str, v6: bool) -> Result<u8, Stop> {
    match length(text, v6) {
        Some(0) => Err(Stop::no_equal(
            format!("'{name} {text}' makes one source of everybody"),
            "a source has one bit at least; for all together there is --total-rate",
        )),
        Some(length) => Ok(length),
        None => Err(Stop::malformed(
            format!("{name} '{text}' is not a mask"),
            "write how many bits of an address count: 24",
        )),
    }
}

/// One port or a range of them, with `between` between its ends.
pub fn ports(name: &str, text: &str, between: char) -> Result<(u16, u16), Stop> {
    let port = |word: &str, open: u16| match word {
        "" => Ok(open),
        word => word.parse::<u16>().map_err(|_| {
            Stop::no_equal(
                format!("'{word}' of '{name} {text}' is not the number of a port"),
                "write ports as numbers, from 1 to 65535",
            )
        }),
    };
    match text.split_once(between) {
        Some(("", "")) => port(text, 0).map(|port| (port, port)),
        Some((first, last)) => match (port(first, 0)?, port(last, u16::MAX)?) {
            (first, last) if first > last => Err(Stop::malformed(
                format!("'{text}' of '{name}' ends before it begins"),
                "write the lower port first",
            )),
            range => Ok(range),
        },
        None if text.is_empty() => port("?", 0).map(|port| (port, port)),
        None => port(text, 0).map(|port| (port, port)),
    }
}
