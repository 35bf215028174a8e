//! DNS messages, as far as the tests need them (RFC 1035, RFC 6891). This code shares no line with the product's.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Type of an IPv4 address.
pub const A: u16 = 1;
/// Type of an alias.
pub const CNAME: u16 = 5;
/// Type of an IPv6 address.
pub const AAAA: u16 = 28;

const OPT: u16 = 41;
const CLASS_IN: u16 = 1;
const HEADER: usize = 12;
/// What everybody takes by UDP.
const PLAIN_ROOM: u16 = 512;
/// What a server says of itself that it takes by UDP: dnsflagday.net/2020.
const OUR_ROOM: u16 = 1232;

/// A query, as a server got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What tells it from others.
    pub id: u16,
    /// The name in the case in which it was asked for, without a dot at its end. A byte is a letter.
    pub name: String,
    /// The type, such as [`A`].
    pub kind: u16,
    /// How long a datagram the client takes, where it has an OPT record.
    pub edns: Option<u16>,
    /// Who asks.
    pub from: SocketAddr,
    /// Whether by TCP.
    pub over_tcp: bool,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(String),
    /// Any type, with these bytes.
    Other(u16, Vec<u8>),
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name that it belongs to.
    pub name: String,
    /// Seconds to live.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// An answer to be. A test changes what it wants to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Reply {
    /// That of the query.
    pub id: u16,
    /// The name in the question.
    pub name: String,
    /// The type in the question.
    pub kind: u16,
    /// RCODE.
    pub code: u8,
    /// TC.
    pub truncated: bool,
    /// The answer section.
    pub records: Vec<Record>,
    /// Whether there is an OPT record, and its size.
    pub edns: Option<u16>,
    /// Whether a name that was there before is pointed to.
    pub compressed: bool,
}

impl Query {
    /// Reads a message with one question; no other is a query.
    pub(super) fn parse(bytes: &[u8], from: SocketAddr, over_tcp: bool) -> Option<Self> {
        let [id, flags, questions, answers, authorities, additional] =
            [0, 2, 4, 6, 8, 10].map(|at| number(bytes, at));
        if flags? & 0x8000 != 0 || questions? != 1 {
            return None;
        }
        let (name, at) = name(bytes)?;
        let kind = number(bytes, at)?;
        // The only record that a query has is OPT, and its name is the root.
        let opt = number(bytes, at + 5).filter(|kind| *kind == OPT).and(number(bytes, at + 7));
        let has_opt = (answers?, authorities?, bytes.get(at + 4)) == (0, 0, Some(&0)) && additional? > 0;
        let edns = opt.filter(|_| has_opt);
        Some(Self { id: id?, name, kind, edns, from, over_tcp, bytes: bytes.into() })
    }

    /// What a server answers that knows the name but has no records.
    pub fn reply(&self) -> Reply {
        Reply {
            id: self.id,
            name: self.name.clone(),
            kind: self.kind,
            code: 0,
            truncated: false,
            records: Vec::new(),
            edns: self.edns.map(|_| OUR_ROOM),
            compressed: true,
        }
    }

    /// How long an answer may be by UDP.
    pub fn room(&self) -> usize {
        self.edns.unwrap_or(PLAIN_ROOM).max(PLAIN_ROOM).into()
    }
}

impl Reply {
    /// One more record.
    pub fn record(mut self, name: &str, ttl: u32, data: Data) -> Self {
        self.records.push(Record { name: name.into(), ttl, data });
        self
    }

    /// One more address, which is parsed, of the name in the question.
    #[track_caller]
    pub fn address(self, ttl: u32, address: &str) -> Self {
        let parsed = address.parse().unwrap_or_else(|_| panic!("{address} is no address"));
        let name = self.name.clone();
        self.record(&name, ttl, Data::Address(parsed))
    }

    /// The bytes of it.
    pub fn build(&self) -> Vec<u8> {
        let mut message = Message { bytes: Vec::with_capacity(512), seen: HashMap::new() };
        // An answer to who desired recursion, by who has it.
        let flags = 0x8180 | u16::from(self.truncated) << 9 | u16::from(self.code);
        let counts = [1, self.records.len() as u16, 0, self.edns.is_some().into()];
        for number in [self.id, flags].into_iter().chain(counts) {
            message.number(number);
        }
        message.name(&self.name, self.compressed);
        message.number(self.kind);
        message.number(CLASS_IN);
        for record in &self.records {
            message.name(&record.name, self.compressed);
            message.record(record, self.compressed);
        }
        if let Some(room) = self.edns {
            message.bytes.push(0);
            for number in [OPT, room, 0, 0, 0] {
                message.number(number);
            }
        }
        message.bytes
    }
}

/// A message, and where in it each name's rest begins.
struct Message {
    bytes: Vec<u8>,
    seen: HashMap<String, u16>,
}

impl Message {
    fn number(&mut self, number: u16) {
        self.bytes.extend(number.to_be_bytes());
    }

    fn name(&mut self, name: &str, compressed: bool) {
        let mut rest = name;
        while !rest.is_empty() {
            // A pointer takes back the case of what it points to, as BIND's do.
            let key = rest.to_ascii_lowercase();
            if let Some(at) = self.seen.get(&key).filter(|_| compressed) {
                return self.number(0xc000 | at);
            }
            if self.bytes.len() < 0x4000 {
                self.seen.insert(key, self.bytes.len() as u16);
            }
            let (label, others) = rest.split_once('.').unwrap_or((rest, ""));
            self.bytes.push(label.chars().count() as u8);
            self.bytes.extend(label.chars().map(|letter| letter as u8));
            rest = others;
        }
        self.bytes.push(0);
    }

    fn record(&mut self, record: &Record, compressed: bool) {
        let kind = match &record.data {
            Data::Address(IpAddr::V4(_)) => A,
            Data::Address(IpAddr::V6(_)) => AAAA,
            Data::Alias(_) => CNAME,
            Data::Other(kind, _) => *kind,
        };
        self.number(kind);
        self.number(CLASS_IN);
        self.bytes.extend(record.ttl.to_be_bytes());
        let at = self.bytes.len();
        self.number(0);
        match &record.data {
            Data::Address(IpAddr::V4(address)) => self.bytes.extend(address.octets()),
            Data::Address(IpAddr::V6(address)) => self.bytes.extend(address.octets()),
            Data::Alias(name) => self.name(name, compressed),
            Data::Other(_, bytes) => self.bytes.extend(bytes),
        }
        let length = (self.bytes.len() - at - 2) as u16;
        self.bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The name behind the header, and where it ends.
fn name(bytes: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::<String>::new(), HEADER);
    loop {
        match usize::from(*bytes.get(at)?) {
            0 => return Some((labels.join("."), at + 1)),
            length @ 1..=63 => {
                let label = bytes.get(at + 1..=at + length)?;
                labels.push(label.iter().copied().map(char::from).collect());
                at += 1 + length;
            }
            _ => return None,
        }
    }
}
