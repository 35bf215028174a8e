//! Networks and addresses: `192.0.2.0/24`, `2001:db8::1`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use limiter_common::key::Address;

use super::unreadable;
use crate::failure::Failure;

const CURE: &str = "write a network (192.0.2.0/24, 2001:db8::/32) or an address (192.0.2.1)";
/// Bits before the IPv4 address in its mapped form.
const MAPPED: u8 = 96;

/// All addresses of a prefix. What is IPv4-mapped is IPv4, here as in every program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

impl Network {
    /// From the form in which the kernel looks it up: its address, and how many bits of 128 count.
    pub fn from_mapped(address: IpAddr, length: u32) -> Option<Self> {
        let bits = if address.is_ipv4() { length.checked_sub(MAPPED.into())? } else { length };
        IpNet::new(address, u8::try_from(bits).ok()?).ok().map(Self)
    }

    /// As the kernel looks it up: its address, and how many bits of 128 count.
    pub fn mapped(self) -> (Address, u32) {
        match self.0 {
            IpNet::V4(net) => {
                (Address::from_v4(net.addr().octets()), u32::from(MAPPED) + u32::from(net.prefix_len()))
            }
            IpNet::V6(net) => (Address::from_v6(net.addr().octets()), net.prefix_len().into()),
        }
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl FromStr for Network {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let part = text.trim();
        if let Ok(address) = part.parse::<IpAddr>() {
            return Ok(address.into());
        }
        let net: IpNet = part.parse().map_err(|_| unreadable(text, part, "is not a network", CURE))?;
        if net.addr() != net.network() {
            let cure = format!("the network that it lies in is {}", net.trunc());
            return Err(unreadable(text, part, "has bits set behind its prefix", &cure));
        }
        let mapped: IpAddr = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().into();
        if net.prefix_len() < MAPPED && net.contains(&mapped) {
            let cure = "IPv4 addresses lie in it as well (::ffff:0:0/96): write 0.0.0.0/0, or 2000::/3 for IPv6 alone";
            return Err(unreadable(text, part, "is two networks in one", cure));
        }
        Ok(Self(match net {
            IpNet::V6(v6) if v6.prefix_len() >= MAPPED => match v6.addr().to_canonical() {
                IpAddr::V4(v4) => Ipv4Net::new_assert(v4, v6.prefix_len() - MAPPED).into(),
                IpAddr::V6(_) => net,
            },
            _ => net,
        }))
    }
}

/// A single address stands without its length.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}
