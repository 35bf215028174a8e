//! A server that accepts connections and keeps them, until it is killed: `limiter-holder ADDRESS:PORT`.

use std::net::TcpListener;

fn main() {
    let address = std::env::args().nth(1).expect("an address and a port");
    let listener = TcpListener::bind(address).expect("a free port");
    println!("listening");
    let _held: Vec<_> = listener.incoming().collect();
}
