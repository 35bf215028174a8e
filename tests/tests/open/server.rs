//! A server that does with each connection what its client asks for.

use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use limiter_tests::net::Host;

use socket2::{Domain, Socket, Type};

use super::{PORT, reset};

/// The server ends the connection.
pub const CLOSE: u8 = b'c';
/// It ends it by an RST.
pub const RESET: u8 = b'r';
/// It ends its own half, and reads on.
pub const HALF: u8 = b'h';
/// It keeps its half, whatever the client does.
pub const KEEP: u8 = b'k';
/// Stays as it is.
pub const NOTHING: u8 = b'.';

/// Listens on all addresses of both families, with one socket. Connections whose client ends them are ended.
pub struct Server {
    accepted: Arc<AtomicUsize>,
    kept: Arc<Mutex<Vec<TcpStream>>>,
}

impl Server {
    pub fn start(host: &Host) -> Self {
        let listener: TcpListener = host.run(|| {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
            socket.set_only_v6(false).unwrap();
            // Connections of the server before this one may be left.
            socket.set_reuse_address(true).unwrap();
            socket.bind(&SocketAddr::new("::".parse().unwrap(), PORT).into()).unwrap();
            // A SYN that finds a full queue is sent again, and counts again.
            socket.listen(4096).unwrap();
            socket.into()
        });
        let server = Self { accepted: Arc::default(), kept: Arc::default() };
        let (accepted, kept) = (server.accepted.clone(), server.kept.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), kept.clone());
                accepted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || serve(stream, &kept));
            }
        });
        server
    }

    /// Connections since the start.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Those that it keeps, to be ended.
    pub fn kept(&self) -> Vec<TcpStream> {
        std::mem::take(&mut *self.kept.lock().unwrap())
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<TcpStream>>) {
    let mut word = [0];
    while let Ok(1) = stream.read(&mut word) {
        match word[0] {
            CLOSE => return,
            RESET => return reset(stream),
            HALF => stream.shutdown(Shutdown::Write).unwrap(),
            NOTHING => {}
            KEEP => return kept.lock().unwrap().push(stream),
            other => panic!("nobody asks for {other}"),
        }
    }
}
