//! The network namespace that this process is in.

#![expect(unsafe_code, reason = "reads an option of sockets that nothing wraps")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::libc::{SOL_SOCKET, getsockopt};

/// `SO_NETNS_COOKIE` of `asm-generic/socket.h` (kernel 5.14).
const SO_NETNS_COOKIE: i32 = 71;

/// Its number, which no other has had since boot; programs in the kernel see the same (`bpf_get_netns_cookie`).
///
/// # Errors
///
/// As the kernel says.
pub fn cookie() -> anyhow::Result<u64> {
    // Any socket will do; one on loopback needs no route.
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"));
    read(&socket.context("cannot open a socket")?).context("cannot tell the network namespace")
}

fn read(socket: &UdpSocket) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as u32;
    // SAFETY: the kernel writes at most `length` bytes, into an integer of that size.
    let result = unsafe {
        let target = (&raw mut cookie).cast();
        getsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_NETNS_COOKIE, target, &raw mut length)
    };
    Errno::result(result)?;
    Ok(cookie)
}
