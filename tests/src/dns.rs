//! A DNS server, and what it knows.
//!
//! The server answers by UDP and TCP as real ones do: names are compressed, the question comes back in the letters in
//! which it was asked, an OPT record is answered by one, and what does not fit into a datagram is cut off with the bit
//! that says so. For everything that real servers do not do there is [`Answer::raw`].

mod message;
mod server;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, RwLock};

pub use message::{A, AAAA, CNAME, Data, Query, Record, Reply};
pub use server::{DnsServer, forge};

/// Longest chain of aliases that is followed.
const CHAIN: usize = 16;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// What is sent to who asks.
#[derive(Debug, Default)]
struct Response {
    messages: Vec<Vec<u8>>,
    /// Of the segments by TCP; see [`Answer::in_segments`].
    sizes: Vec<usize>,
}

type Datagrams = dyn Fn(&Query) -> Vec<Vec<u8>> + Send + Sync;
type Otherwise = dyn Fn(&str) -> Answer + Send + Sync;

/// What is answered to who asks for a name.
#[derive(Clone)]
pub enum Answer {
    /// Those addresses of the list that are of the type asked for; without any, an answer without records.
    Addresses {
        /// Seconds to live.
        ttl: u32,
        /// IPv4 or IPv6.
        list: Vec<IpAddr>,
    },
    /// A CNAME, and what the zone has for that name behind it.
    Alias {
        /// Seconds to live.
        ttl: u32,
        /// The name in its place.
        to: String,
    },
    /// By UDP only that the answer is too long, by TCP this answer.
    OverTcp(Box<Answer>),
    /// By UDP only that the answer is too long, by TCP this answer in several segments.
    InSegments {
        /// How many bytes each segment has, the length before the message included; the rest goes in the last one.
        sizes: Vec<usize>,
        /// What is sent.
        then: Box<Answer>,
    },
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
    /// Whatever the closure makes of the query: any number of datagrams, or of messages by TCP.
    Raw(Arc<Datagrams>),
}

impl Answer {
    /// Addresses, which are parsed, with their time to live in seconds.
    #[track_caller]
    pub fn addresses(ttl: u32, list: &[&str]) -> Self {
        let parse = |address: &&str| {
            address.parse().unwrap_or_else(|_| panic!("{address} is neither IPv4 nor IPv6 address"))
        };
        Self::Addresses { ttl, list: list.iter().map(parse).collect() }
    }

    /// A CNAME.
    pub fn alias(ttl: u32, to: &str) -> Self {
        Self::Alias { ttl, to: to.into() }
    }

    /// The same, but by TCP only.
    #[must_use]
    pub fn over_tcp(self) -> Self {
        Self::OverTcp(Box::new(self))
    }

    /// The same, but by TCP only, in segments of these sizes and a last one with the rest. The length before a message counts.
    #[must_use]
    pub fn in_segments(self, sizes: &[usize]) -> Self {
        Self::InSegments { sizes: sizes.into(), then: Box::new(self) }
    }

    /// Bytes of the test's own making; [`Query::reply`] helps with it.
    pub fn raw(closure: impl Fn(&Query) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::Raw(Arc::new(closure))
    }

    /// For names such as `n123.test`: 10.64.0.0 and the first number in the name on top, for up to 4,194,304 names with
    /// an address each. NXDOMAIN for names without a number.
    pub fn numbered(ttl: u32, name: &str) -> Self {
        const FIRST: u32 = 0x0a40_0000;
        let from_digit = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let digits = from_digit.split(|letter: char| !letter.is_ascii_digit()).next();
        match digits.and_then(|digits| digits.parse::<u32>().ok()).filter(|number| *number < 1 << 22) {
            Some(number) => Self::Addresses { ttl, list: vec![Ipv4Addr::from(FIRST + number).into()] },
            None => Self::NoSuchName,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { ttl, list } => write!(f, "{list:?} for {ttl} s"),
            Self::Alias { ttl, to } => write!(f, "CNAME {to} for {ttl} s"),
            Self::OverTcp(answer) => write!(f, "by TCP {answer:?}"),
            Self::InSegments { sizes, then } => write!(f, "by TCP in segments of {sizes:?} {then:?}"),
            Self::NoSuchName => f.write_str("NXDOMAIN"),
            Self::Failure => f.write_str("SERVFAIL"),
            Self::Silence => f.write_str("silence"),
            Self::Raw(_) => f.write_str("raw"),
        }
    }
}

/// What servers know, and what they were asked. Clones share it; it may change while a server uses it.
#[derive(Clone, Default)]
pub struct Zone(Arc<Shared>);

#[derive(Default)]
struct Shared {
    names: RwLock<HashMap<String, Answer>>,
    otherwise: RwLock<Option<Box<Otherwise>>>,
    /// By name, type, and whether by TCP.
    asked: Mutex<HashMap<(String, u16, bool), u64>>,
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.0.names).finish()
    }
}

impl Zone {
    /// One without names.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this is answered for that name, in whatever case it is asked for.
    pub fn set(&self, name: &str, answer: Answer) {
        self.0.names.write().expect(SOUND).insert(name.to_ascii_lowercase(), answer);
    }

    /// From now on this makes the answers for names that were not set; it is given them in lower case. Without it they
    /// do not exist.
    pub fn otherwise(&self, closure: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        *self.0.otherwise.write().expect(SOUND) = Some(Box::new(closure));
    }

    /// How often a name was asked for, by type.
    pub fn asked(&self, name: &str, kind: u16) -> u64 {
        self.count(name, kind, false) + self.asked_by_tcp(name, kind)
    }

    /// How often of these by TCP.
    pub fn asked_by_tcp(&self, name: &str, kind: u16) -> u64 {
        self.count(name, kind, true)
    }

    /// All queries together.
    pub fn asked_in_all(&self) -> u64 {
        self.0.asked.lock().expect(SOUND).values().sum()
    }

    fn count(&self, name: &str, kind: u16, over_tcp: bool) -> u64 {
        let key = (name.to_ascii_lowercase(), kind, over_tcp);
        self.0.asked.lock().expect(SOUND).get(&key).copied().unwrap_or(0)
    }

    /// What is to be sent to who sent this query.
    fn respond(&self, query: &Query) -> Response {
        let mut name = query.name.to_ascii_lowercase();
        let key = (name.clone(), query.kind, query.over_tcp);
        *self.0.asked.lock().expect(SOUND).entry(key).or_default() += 1;

        let mut reply = query.reply();
        let mut sizes = Vec::new();
        let mut answer = self.lookup(&name);
        for _ in 0..CHAIN {
            match answer {
                Answer::Alias { ttl, to } => {
                    reply = reply.record(&name, ttl, Data::Alias(to.clone()));
                    if query.kind == CNAME {
                        break;
                    }
                    name = to.to_ascii_lowercase();
                    answer = self.lookup(&name);
                }
                Answer::OverTcp(_) | Answer::InSegments { .. } if !query.over_tcp => {
                    reply = Reply { truncated: true, ..query.reply() };
                    break;
                }
                Answer::OverTcp(then) => answer = *then,
                Answer::InSegments { sizes: these, then } => (sizes, answer) = (these, *then),
                Answer::Addresses { ttl, list } => {
                    let suits = |address: &IpAddr| if address.is_ipv4() { A } else { AAAA } == query.kind;
                    for address in list.into_iter().filter(suits) {
                        reply = reply.record(&name, ttl, Data::Address(address));
                    }
                    break;
                }
                Answer::NoSuchName => {
                    reply.code = NO_SUCH_NAME;
                    break;
                }
                Answer::Failure => {
                    reply.code = SERVER_FAILURE;
                    break;
                }
                Answer::Silence => return Response::default(),
                Answer::Raw(closure) => return Response { messages: closure(query), sizes },
            }
        }
        let bytes = reply.build();
        let room = if query.over_tcp { usize::from(u16::MAX) } else { query.room() };
        if bytes.len() <= room {
            return Response { messages: vec![bytes], sizes };
        }
        let cut_off = Reply { truncated: true, records: Vec::new(), ..reply };
        Response { messages: vec![cut_off.build()], sizes }
    }

    fn lookup(&self, name: &str) -> Answer {
        if let Some(answer) = self.0.names.read().expect(SOUND).get(name) {
            return answer.clone();
        }
        let otherwise = self.0.otherwise.read().expect(SOUND);
        otherwise.as_ref().map_or(Answer::NoSuchName, |closure| closure(name))
    }
}

/// Why a lock can be taken.
const SOUND: &str = "no thread panics with it";
