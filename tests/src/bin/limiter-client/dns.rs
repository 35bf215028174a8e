//! Queries to a DNS server, each from a socket of its own.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use limiter_tests::client::protocol::{Kind, Lookup, Resolved, Transport};
use limiter_tests::wire::monotonic_ns;
use nix::libc;
use socket2::{Domain, Socket, Type};

use crate::socket::errno;

/// For so long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks, and waits for the answer to it.
pub fn resolve(lookup: &Lookup) -> Resolved {
    let mut name = Name::from_ascii(&lookup.name).unwrap_or_else(|error| panic!("{error}: {lookup:?}"));
    name.set_fqdn(true);
    let kind = match lookup.kind {
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
    };
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, kind));
    if let Some(room) = lookup.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(room);
        query.set_edns(edns);
    }
    let bytes = query.to_vec().expect("a query can be written");

    let before_ns = monotonic_ns();
    let answer = match lookup.transport {
        Transport::Udp => by_udp(lookup, &bytes, query.metadata.id),
        Transport::Tcp => by_tcp(lookup, &bytes),
    };
    let after_ns = monotonic_ns();

    let mut resolved = Resolved {
        addresses: Vec::new(),
        code: None,
        truncated: false,
        question: String::new(),
        errno: 0,
        before_ns,
        after_ns,
    };
    match answer {
        Ok(Some(answer)) => {
            resolved.code = Some(answer.metadata.response_code.into());
            resolved.truncated = answer.metadata.truncation;
            resolved.question = answer.queries.first().map(|query| query.name.to_ascii()).unwrap_or_default();
            resolved.addresses = answer
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(address) => Some(address.0.into()),
                    RData::AAAA(address) => Some(address.0.into()),
                    _ => None,
                })
                .collect();
        }
        Ok(None) => {}
        Err(error) => resolved.errno = errno(&error),
    }
    resolved
}

/// Takes no answer but one with the id of the query.
fn by_udp(lookup: &Lookup, query: &[u8], id: u16) -> io::Result<Option<Message>> {
    let socket = Socket::new(Domain::for_address(lookup.server), Type::DGRAM, None)?;
    if let Some(address) = lookup.bind {
        socket.bind(&address.into())?;
    }
    if lookup.connected {
        socket.connect(&lookup.server.into())?;
        socket.send(query)?;
    } else {
        socket.send_to(query, &lookup.server.into())?;
    }
    let socket: UdpSocket = socket.into();
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = vec![0; 65_535];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would be for ever.
        socket.set_read_timeout(Some(left.max(Duration::from_micros(1))))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if is_late(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(answer) = Message::from_vec(&buffer[..length]).ok().filter(|m| m.metadata.id == id) {
            return Ok(Some(answer));
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

fn by_tcp(lookup: &Lookup, query: &[u8]) -> io::Result<Option<Message>> {
    let socket = Socket::new(Domain::for_address(lookup.server), Type::STREAM, None)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    if let Some(address) = lookup.bind {
        socket.bind(&address.into())?;
    }
    socket.connect(&lookup.server.into())?;
    let mut stream: TcpStream = socket.into();
    stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat())?;
    let answer = read_message(&mut stream);
    match answer {
        Ok(answer) => Ok(Message::from_vec(&answer).ok()),
        // A server that has nothing to say may hang up.
        Err(error) if is_late(&error) || error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn is_late(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAGAIN)
}
