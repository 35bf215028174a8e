//! Frames on a host's interface: sent at a rate, counted, captured.
//!
//! All three are packet sockets. XDP comes before them on the way in, so they see what it lets pass.
//! Times are nanoseconds of `CLOCK_MONOTONIC`, the clock that XDP programs read.

mod capture;
mod clock;
mod counter;
mod filter;
mod sender;
mod tally;

use nix::libc;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Socket, Type};

pub use capture::{Capture, Captured};
pub use clock::{monotonic_ns, sleep_until};
pub use counter::Counter;
pub use filter::Filter;
pub use sender::{Sender, Sent, pin};
pub use tally::Tally;

use crate::net::Host;
use crate::sys;

/// A packet socket that gets nothing yet: what it should not see must be settled before [`listen`].
#[track_caller]
fn packet_socket(host: &Host) -> Socket {
    host.run(|| Socket::new(Domain::PACKET, Type::RAW, None)).expect("packet sockets need root")
}

#[track_caller]
fn attach(socket: &Socket, host: &Host, interface: &str, protocol: i32) {
    let index = host.run(|| if_nametoindex(interface));
    let index = index.unwrap_or_else(|error| panic!("no interface {interface}: {error}"));
    sys::bind(socket, index, protocol).expect("an interface can be bound to");
}

/// From now on the socket sees what the interface receives and sends.
#[track_caller]
fn listen(socket: &Socket, host: &Host, interface: &str) {
    attach(socket, host, interface, libc::ETH_P_ALL);
}

/// From now on the socket sends on the interface. It sees nothing.
#[track_caller]
fn send_only(socket: &Socket, host: &Host, interface: &str) {
    attach(socket, host, interface, 0);
}
