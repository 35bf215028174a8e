//! What a process in a cgroup is told when it connects or sends: one tries it, in a child cgroup that is there only for that.
//!
//! Nothing that is tried leaves the machine, whatever it is told: its sockets are bound to the loopback device, and that takes
//! nothing for addresses that are not its own.

#![expect(unsafe_code, reason = "a process without a program of its own")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::_exit;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, sendto, setsockopt, socket,
    sockopt::BindToDevice,
};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe2, write};

/// The child that is made. One of this name that is left over is of somebody who was killed here.
const NAME: &str = "limiterctl-probe";
/// Where calls go; what takes it discards it (RFC 863).
const DISCARD: u16 = 9;
/// For so long a process may take that does nothing else; one in a frozen cgroup takes for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `connect()` of a TCP socket.
    Connect(IpAddr),
    /// `sendto()` of a UDP socket that is not connected.
    Send(IpAddr),
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What it was told.
    Told(Result<(), Errno>),
    /// There is no socket for it, as where the kernel has no IPv6.
    NoSocket(Errno),
}

/// Lets a process make these calls in a new child of the cgroup with this path, and tells what came of each.
///
/// # Errors
///
/// The cgroup takes no child, or its child no process; the process was stopped or ended.
pub fn attempt(cgroup: &Path, calls: &[Call]) -> io::Result<Vec<Outcome>> {
    let child = Child::new(cgroup)?;
    let processes = OpenOptions::new().write(true).open(child.0.join("cgroup.procs"))?;
    let loopback = OsString::from("lo");
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the new process makes system calls and ends; it allocates nothing and takes no lock.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let code =
                answer(&processes, calls, &loopback, &writing).map_or_else(|errno| errno as i32, |()| 0);
            // SAFETY: ends the process, without what this program does at its end.
            unsafe { _exit(code) }
        }
        ForkResult::Parent { child: process } => {
            drop(writing);
            let answers = hear(reading, calls.len());
            // Also one that is frozen ends by this.
            let _ = kill(process, Signal::SIGKILL);
            let ended = waitpid(process, None);
            answers?.ok_or_else(|| reason(ended))
        }
    }
}

/// The child that the process is in. Dropping it removes it.
struct Child(PathBuf);

impl Child {
    fn new(cgroup: &Path) -> io::Result<Self> {
        let path = cgroup.join(NAME);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_dir(&path)?;
                fs::create_dir(&path)?;
            }
            result => result?,
        }
        Ok(Self(path))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // For a moment after its process is gone the kernel may still call it busy.
        while fs::remove_dir(&self.0).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
            && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What the process does: it answers each call by a number, as [`Outcome::number`] tells.
fn answer(processes: &File, calls: &[Call], device: &OsString, answers: &OwnedFd) -> nix::Result<()> {
    // It holds whatever this program has open, and a frozen one would hold it after the program's end.
    set_pdeathsig(Signal::SIGKILL)?;
    // Zero is the process that writes (kernel documentation, cgroup-v2).
    write(processes, b"0")?;
    for call in calls {
        write(answers, &make(*call, device).number().to_ne_bytes())?;
    }
    Ok(())
}

fn make(call: Call, device: &OsString) -> Outcome {
    let (ip, kind) = match call {
        Call::Connect(ip) => (ip, SockType::Stream),
        Call::Send(ip) => (ip, SockType::Datagram),
    };
    let family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let bound = socket(family, kind, flags, None)
        .and_then(|socket| setsockopt(&socket, BindToDevice, device).map(|()| socket));
    let socket = match bound {
        Ok(socket) => socket,
        Err(errno) => return Outcome::NoSocket(errno),
    };
    let address = SockaddrStorage::from(SocketAddr::new(ip, DISCARD));
    Outcome::Told(match call {
        Call::Connect(_) => connect(socket.as_raw_fd(), &address),
        Call::Send(_) => sendto(socket.as_raw_fd(), &[0], &address, MsgFlags::empty()).map(drop),
    })
}

/// The answers; `None` where the process ended before it had given all.
fn hear(answers: OwnedFd, count: usize) -> io::Result<Option<Vec<Outcome>>> {
    let (mut answers, mut outcomes) = (File::from(answers), Vec::with_capacity(count));
    let deadline = Instant::now() + PATIENCE;
    while outcomes.len() < count {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(answers.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(io::Error::new(ErrorKind::TimedOut, "a process in it does not run")),
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        // A pipe takes and gives so few bytes at once (pipe(7)).
        let mut bytes = [0; size_of::<i32>()];
        if answers.read(&mut bytes)? == 0 {
            return Ok(None);
        }
        outcomes.push(Outcome::of(i32::from_ne_bytes(bytes)));
    }
    Ok(Some(outcomes))
}

/// Why a process gave no answer.
fn reason(ended: nix::Result<WaitStatus>) -> io::Error {
    match ended {
        Ok(WaitStatus::Exited(_, errno)) if errno != 0 => io::Error::from_raw_os_error(errno),
        _ => io::Error::other("a process in it was ended"),
    }
}

impl Outcome {
    const fn number(self) -> i32 {
        match self {
            Self::Told(Ok(())) => 0,
            Self::Told(Err(errno)) => errno as i32,
            Self::NoSocket(errno) => -(errno as i32),
        }
    }

    const fn of(number: i32) -> Self {
        match number {
            0 => Self::Told(Ok(())),
            1.. => Self::Told(Err(Errno::from_raw(number))),
            _ => Self::NoSocket(Errno::from_raw(-number)),
        }
    }
}
