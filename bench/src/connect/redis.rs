//! The rival: before each `connect()` the application asks Redis whether it may.
//!
//! The least that does it: two commands in one message through a Unix socket, `INCR` of the destination's counter in
//! this second and `EXPIRE` of it, and one read of both answers. No client library, no network.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use limiter_tests::net::Host;

/// The bench runs in a sandbox, whose `/run` is private.
const SOCKET: &str = "/run/redis.sock";
const PATIENCE: Duration = Duration::from_secs(10);

/// A server; it ends with the bench.
pub struct Server(Child);

impl Server {
    /// Starts one, where the calling thread runs: on another CPU than who asks it.
    ///
    /// # Errors
    ///
    /// Why there is none: it may not be installed.
    pub fn start(host: &Host) -> Result<Self, String> {
        let mut command = host.command("redis-server");
        command.args(["--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| {
            format!("redis-server does not start ({error}); cargo xtask setup installs it")
        })?;
        let mut server = Self(child);
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(SOCKET).is_err() {
            if let Ok(Some(status)) = server.0.try_wait() {
                return Err(format!("redis-server ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err("redis-server does not listen".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn path() -> PathBuf {
        SOCKET.into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection to it.
pub struct Redis {
    stream: UnixStream,
    answer: [u8; 64],
}

impl Redis {
    /// Connects.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(path)?, answer: [0; 64] })
    }

    /// Counts one connection to an address.
    pub fn ask(&mut self, address: Ipv4Addr) -> io::Result<()> {
        let key = address.to_string();
        let length = key.len();
        let commands = format!(
            "*2\r\n$4\r\nINCR\r\n${length}\r\n{key}\r\n*3\r\n$6\r\nEXPIRE\r\n${length}\r\n{key}\r\n$1\r\n1\r\n"
        );
        self.stream.write_all(commands.as_bytes())?;
        // Both answers are numbers: ":17\r\n:1\r\n".
        let mut read = 0;
        while self.answer[..read].split(|&byte| byte == b'\n').count() <= 2 {
            match self.stream.read(&mut self.answer[read..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
        }
        if self.answer[0] == b':' { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }
}
