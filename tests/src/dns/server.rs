//! A server on a host: threads of the test.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

use super::{Query, Response, Zone};
use crate::net::Host;
use crate::sys;

/// For so long the rest of a message may take by TCP.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two segments of an answer.
const BETWEEN_SEGMENTS: Duration = Duration::from_millis(20);
/// Room for the queries of a flood.
const BUFFER: usize = 4 << 20;

/// Answers at one address until it is dropped. Several may share a zone.
#[derive(Debug)]
pub struct DnsServer {
    /// Closing it stops the threads.
    running: Option<PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts at an address and port of that host, for UDP and TCP. It can be asked at once.
    #[track_caller]
    pub fn start(host: &Host, address: SocketAddr, zone: &Zone) -> Self {
        let sockets = host.run(|| -> io::Result<_> {
            let datagrams = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
            // So that a test may forge what comes from here.
            datagrams.set_reuse_address(true)?;
            datagrams.bind(&address.into())?;
            let connections = TcpListener::bind(address)?;
            datagrams.set_nonblocking(true)?;
            connections.set_nonblocking(true)?;
            Ok((datagrams, connections))
        });
        let (datagrams, connections) =
            sockets.unwrap_or_else(|error| panic!("no DNS server at {address}: {error}"));
        datagrams.set_recv_buffer_size(BUFFER).expect("a socket has a buffer");
        let datagrams = datagrams.into();

        let (ended, running) = pipe().expect("a descriptor to spare");
        let server = Arc::new(Server { zone: zone.clone(), ended });
        let other = Arc::clone(&server);
        let threads = vec![
            thread::spawn(move || server.answer_datagrams(&datagrams)),
            thread::spawn(move || other.accept(&connections)),
        ];
        Self { running: Some(running), threads }
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        drop(self.running.take());
        for thread in self.threads.drain(..) {
            // What went wrong there has been printed.
            let _ = thread.join();
        }
    }
}

/// Sends one datagram from an address and port to another, whether or not the host has the address.
#[track_caller]
pub fn forge(host: &Host, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
    let from_there = || -> io::Result<usize> {
        let socket = Socket::new(Domain::for_address(from), Type::DGRAM, None)?;
        let (level, option) = match from {
            SocketAddr::V4(_) => (libc::SOL_IP, libc::IP_TRANSPARENT),
            SocketAddr::V6(_) => (libc::SOL_IPV6, libc::IPV6_TRANSPARENT),
        };
        sys::switch_on(&socket, level, option)?;
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
        socket.send_to(bytes, &to.into())
    };
    let sent = host.run(from_there);
    let sent = sent.unwrap_or_else(|error| panic!("no datagram goes from {from} to {to}: {error}"));
    assert_eq!(sent, bytes.len(), "the datagram was cut off");
}

struct Server {
    zone: Zone,
    /// Readable when the server is to end.
    ended: PipeReader,
}

impl Server {
    fn answer_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while self.wait_for(socket) {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Some(query) = Query::parse(&buffer[..length], from, false) else { continue };
                for answer in self.zone.respond(&query).messages {
                    // The client may be gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        }
    }

    fn accept(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            while self.wait_for(listener) {
                if let Ok((stream, from)) = listener.accept() {
                    // The client may go whenever it likes.
                    scope.spawn(move || self.answer_connection(stream, from).ok());
                }
            }
        });
    }

    /// Each message has its length before it. All answers to a query are sent in one segment, where they fit and nothing else
    /// is wanted.
    fn answer_connection(&self, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        while self.wait_for(&stream) {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut message = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut message)?;
            let Some(query) = Query::parse(&message, from, true) else { continue };
            let Response { messages, sizes } = self.zone.respond(&query);
            let with_length =
                |message: &Vec<u8>| [&(message.len() as u16).to_be_bytes()[..], message].concat();
            let bytes: Vec<u8> = messages.iter().flat_map(with_length).collect();
            let mut rest = &bytes[..];
            for &size in &sizes {
                let (segment, others) = rest.split_at(size.min(rest.len()));
                stream.write_all(segment)?;
                rest = others;
                // Two segments that meet on the way may become one.
                thread::sleep(BETWEEN_SEGMENTS);
            }
            stream.write_all(rest)?;
        }
        Ok(())
    }

    /// Waits until there is something to read; no more when the server is to end.
    fn wait_for(&self, socket: &impl AsFd) -> bool {
        let mut both = [self.ended.as_fd(), socket.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        loop {
            let ready = poll(&mut both, PollTimeout::NONE);
            if ready.is_ok() {
                return both[0].revents().is_some_and(|events| events.is_empty());
            }
        }
    }
}
