//! A process that resolves names and connects as a test tells it to: a line of JSON in, a line of JSON out. Which lines
//! there are is in `limiter_tests::client::protocol`.
//!
//! It does one thing after the other, ends with its input, and panics at what it does not understand.

mod dns;
mod load;
mod socket;

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::net::ToSocketAddrs as _;

use limiter_tests::client::protocol::{Found, Request};
use serde_json::{Value, to_value};

fn main() {
    for line in stdin().lock().lines() {
        let line = line.expect("the test writes text");
        let request = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        println!("{}", serve(request));
        stdout().flush().expect("the test reads");
    }
}

fn serve(request: Request) -> Value {
    let reply = match request {
        Request::Resolve(lookup) => to_value(dns::resolve(&lookup)),
        Request::Connect { to, how } => to_value(socket::connect(how, to)),
        Request::Sendto { to, how, times, socket } => to_value(socket::send_to(how, to, times, socket)),
        Request::ConnectSend { to, how, times } => to_value(socket::connect_send(how, to, times)),
        Request::Hammer { to, how, per_second, seconds } => {
            to_value(load::hammer(how, to, per_second, seconds))
        }
        Request::Flood { to, how, seconds, threads } => to_value(load::flood(how, to, seconds, threads)),
        Request::Names { from, to, pattern, server, threads } => {
            to_value(load::names(from..to, &pattern, server, threads))
        }
        Request::Getaddrinfo { name, port } => to_value(getaddrinfo(&name, port)),
    };
    reply.expect("a reply is JSON")
}

/// Without a port the C library is given no service.
fn getaddrinfo(name: &str, port: u16) -> Found {
    match (name, port).to_socket_addrs() {
        Ok(addresses) => Found { addresses: addresses.collect(), error: None },
        Err(error) => Found { addresses: Vec::new(), error: Some(error.to_string()) },
    }
}
