//! An answer that is put together piece by piece, and remembers which addresses it got.

use std::net::Ipv6Addr;

use limiter_common::dns::{MAX_RECORDS, Unread};
use limiter_common::key::Address;

use super::Seed;

/// Position of the count of answers in the header.
const ANSWERS: usize = 6;
/// Position of the count of additional records.
const ADDITIONAL: usize = 10;

/// An answer in the making.
#[derive(Debug, Clone)]
pub struct Answer {
    bytes: Vec<u8>,
    owner: Vec<u8>,
    records: u16,
    addresses: Vec<(Address, u32)>,
    end: Result<(), Unread>,
}

impl Answer {
    /// To a question for the address of a name, which is not limited in any way; `\DDD` is a byte.
    pub fn to(name: &str) -> Self {
        let header = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
        Self {
            bytes: [&header[..], &wire(name), &[0, 1, 0, 1]].concat(),
            owner: vec![0xc0, 12],
            records: 0,
            addresses: Vec::new(),
            end: Ok(()),
        }
    }

    /// The owner of the records that follow, byte by byte.
    #[must_use]
    pub fn owner(mut self, owner: &[u8]) -> Self {
        self.owner = owner.to_vec();
        self
    }

    /// The same by a name that is not compressed.
    #[must_use]
    pub fn owned_by(self, name: &str) -> Self {
        self.owner(&wire(name))
    }

    /// The same by a pointer.
    #[must_use]
    pub fn pointing_to(self, position: u16) -> Self {
        self.owner(&(0xc000 | position).to_be_bytes())
    }

    /// Any record.
    #[must_use]
    pub fn record(mut self, kind: u16, class: u16, ttl: u32, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(&self.owner);
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&class.to_be_bytes());
        self.bytes.extend_from_slice(&ttl.to_be_bytes());
        self.bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(data);
        self.counting_one_more()
    }

    /// An IPv4 address.
    #[must_use]
    pub fn a(self, address: [u8; 4], ttl: u32) -> Self {
        self.teaching(Address::from_v4(address), ttl).record(1, 1, ttl, &address)
    }

    /// An IPv6 address.
    #[must_use]
    pub fn aaaa(self, address: Ipv6Addr, ttl: u32) -> Self {
        self.teaching(Address::from_v6(address.octets()), ttl).record(28, 1, ttl, &address.octets())
    }

    /// An alias.
    #[must_use]
    pub fn cname(self, to: &str, ttl: u32) -> Self {
        self.record(5, 1, ttl, &wire(to))
    }

    /// An additional record that says how long messages may be (RFC 6891).
    #[must_use]
    pub fn opt(mut self, room: u16) -> Self {
        self.bytes.extend_from_slice(&[0, 0, 41]);
        self.bytes.extend_from_slice(&room.to_be_bytes());
        self.bytes.extend_from_slice(&[0; 6]);
        self.bytes[ADDITIONAL + 1] += 1;
        self
    }

    /// The header says something else than what there is.
    #[must_use]
    pub fn counting(mut self, records: u16) -> Self {
        self.records = records;
        self.bytes[ANSWERS..ANSWERS + 2].copy_from_slice(&records.to_be_bytes());
        self
    }

    /// From here on nothing can be read.
    #[must_use]
    pub const fn fails(mut self, reason: Unread) -> Self {
        self.end = Err(reason);
        self
    }

    /// It is done.
    pub fn seed(self, what: &'static str) -> Seed {
        let is_too_much = u32::from(self.records) > MAX_RECORDS && self.end.is_ok();
        let end = if is_too_much { Err(Unread::TooManyRecords) } else { self.end };
        Seed { what, message: self.bytes, addresses: self.addresses, end }
    }

    fn counting_one_more(self) -> Self {
        let records = self.records + 1;
        self.counting(records)
    }

    fn teaching(mut self, address: Address, ttl: u32) -> Self {
        if self.end.is_ok() && u32::from(self.records) < MAX_RECORDS {
            // A TTL with its highest bit set is none (RFC 2181, 8).
            self.addresses.push((address, if ttl >> 31 == 0 { ttl } else { 0 }));
        }
        self
    }
}

/// A name in its wire form, whatever its length.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty()).map(unescaped);
    let mut wire: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
    wire.push(0);
    wire
}

fn unescaped(label: &str) -> Vec<u8> {
    let mut parts = label.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (number, rest) = part.split_at(3);
        bytes.push(number.parse().expect("three digits"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
