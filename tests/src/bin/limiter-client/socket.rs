//! Sockets of every kind, and how they connect and send.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::time::Duration;

use limiter_tests::client::protocol::{Attempt, ConnectedSends, Counts, How, Sockets};
use limiter_tests::wire::monotonic_ns;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::TcpFastOpenConnect};
use socket2::{Domain, Protocol, Socket, Type};

/// For so long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket, and what connects it or sends to the address in its own family.
pub struct Opened {
    socket: Socket,
    how: How,
    to: SocketAddr,
}

impl Opened {
    pub fn new(how: How, to: SocketAddr) -> io::Result<Self> {
        let to = match how {
            How::Mapped | How::UdpMapped => mapped(to),
            How::Raw => (to.ip(), 0).into(), // raw(7): there are no ports
            _ => to,
        };
        let domain = Domain::for_address(to);
        let (kind, protocol) = match how {
            How::Udp | How::UdpMapped => (Type::DGRAM, None),
            How::UdpLite => (Type::DGRAM, Some(Protocol::UDPLITE)),
            How::Ping | How::PingTo if to.is_ipv4() => (Type::DGRAM, Some(Protocol::ICMPV4)),
            How::Ping | How::PingTo => (Type::DGRAM, Some(Protocol::ICMPV6)),
            How::Raw => (Type::RAW, Some(Protocol::UDP)),
            How::Mptcp => (Type::STREAM, Some(Protocol::MPTCP)),
            How::Tcp | How::TcpNonblocking | How::Fastopen | How::FastopenConnect | How::Mapped => {
                (Type::STREAM, None)
            }
        };
        let socket = Socket::new(domain, kind, protocol)?;
        if kind == Type::STREAM {
            // No port stays behind in TIME_WAIT.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        // connect(2) keeps to it as well: socket(7).
        socket.set_write_timeout(Some(PATIENCE))?;
        match how {
            How::TcpNonblocking => socket.set_nonblocking(true)?,
            How::FastopenConnect => setsockopt(&socket, TcpFastOpenConnect, &true)?,
            _ => {}
        }
        Ok(Self { socket, how, to })
    }

    pub fn connect(&self) -> Attempt {
        timed(|| match self.how {
            How::Fastopen => {
                self.socket.send_to_with_flags(&[0], &self.to.into(), libc::MSG_FASTOPEN).map(drop)
            }
            How::FastopenConnect => {
                self.socket.connect(&self.to.into())?;
                self.socket.send(&[0]).map(drop)
            }
            How::TcpNonblocking => self.connect_and_poll(),
            _ => self.socket.connect(&self.to.into()),
        })
    }

    fn connect_and_poll(&self) -> io::Result<()> {
        match self.socket.connect(&self.to.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            result => return result,
        }
        let timeout = PollTimeout::try_from(PATIENCE).expect("a few seconds");
        let ready = poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)], timeout)?;
        match self.socket.take_error()? {
            Some(error) => Err(error),
            None if ready == 0 => Err(Errno::ETIMEDOUT.into()),
            None => Ok(()),
        }
    }

    fn send(&self) -> Attempt {
        timed(|| self.socket.send(self.message()).map(drop))
    }

    fn send_to(&self) -> Attempt {
        timed(|| self.socket.send_to(self.message(), &self.to.into()).map(drop))
    }

    /// What such a socket may send.
    fn message(&self) -> &'static [u8] {
        const UDP: [u8; 8] = [0, 9, 0, 9, 0, 8, 0, 0];
        const ECHO: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 1];
        const ECHO_V6: [u8; 8] = [128, 0, 0, 0, 0, 0, 0, 1];

        match self.how {
            How::Ping | How::PingTo if self.to.is_ipv4() => &ECHO,
            How::Ping | How::PingTo => &ECHO_V6,
            How::Raw => &UDP,
            _ => &[0],
        }
    }
}

/// Connects a new socket, sends something where that alone is no connection, and closes it.
pub fn connect(how: How, to: SocketAddr) -> Attempt {
    let opened = match Opened::new(how, to) {
        Ok(opened) => opened,
        Err(error) => return timed(|| Err(error)),
    };
    match how {
        How::PingTo | How::Raw => opened.send_to(),
        How::Udp | How::UdpMapped | How::UdpLite | How::Ping if to.port() != 0 => {
            let connect = opened.connect();
            if connect.errno == 0 { opened.send() } else { connect }
        }
        _ => opened.connect(),
    }
}

/// Sends datagrams without connecting.
pub fn send_to(how: How, to: SocketAddr, times: u64, sockets: Sockets) -> Counts {
    let mut counts = Counts::default();
    let mut opened = Opened::new(how, to).expect("a socket to spare");
    for _ in 0..times {
        counts.add(opened.send_to());
        if sockets == Sockets::New {
            opened = Opened::new(how, to).expect("a socket to spare");
        }
    }
    counts
}

/// Connects a socket and sends datagrams from it.
pub fn connect_send(how: How, to: SocketAddr, times: u64) -> ConnectedSends {
    let opened = Opened::new(how, to).expect("a socket to spare");
    let connect = opened.connect();
    let mut sends = Counts::default();
    if connect.result().is_ok() {
        (0..times).for_each(|_| sends.add(opened.send()));
    }
    ConnectedSends { connect, sends }
}

/// Error numbers are those of the kernel.
pub fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_else(|| panic!("{error} is no error of the kernel's"))
}

fn timed(act: impl FnOnce() -> io::Result<()>) -> Attempt {
    let before_ns = monotonic_ns();
    let result = act();
    let after_ns = monotonic_ns();
    Attempt { errno: result.err().as_ref().map_or(0, errno), before_ns, after_ns }
}

fn mapped(to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(address) => (address.to_ipv6_mapped(), to.port()).into(),
        IpAddr::V6(_) => to,
    }
}
