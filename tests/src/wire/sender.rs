//! Sends frames, one by one or at a rate.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{LinkAddr, MsgFlags, MultiHeaders, sendmmsg};
use nix::unistd::Pid;
use socket2::Socket;

use super::clock::{MILLISECOND, SECOND, monotonic_ns, sleep_until};
use super::{packet_socket, send_only};
use crate::net::{Host, on_fresh_thread};
use crate::sys;

/// Frames handed to the kernel at once: few enough that a catch-up does not overrun the other end.
const BATCH: usize = 64;
/// For so long the link may be full before something is taken to be wrong with it.
const PATIENCE: u64 = 5 * SECOND;

/// Sends frames from an interface of a host as they are.
#[derive(Debug)]
pub struct Sender {
    interface: String,
    socket: Socket,
    /// Sends past the queue in front of the interface: a full link is told to the sender, and each CPU has a
    /// transmit queue of its own.
    direct: Socket,
    /// The interface counters of the host: an open file stays with its network namespace.
    counters: File,
}

/// What a flood was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Frames sent, all of them on the link.
    pub count: u64,
    /// When the first was about to be sent.
    pub first_ns: u64,
    /// When the last had been sent.
    pub last_ns: u64,
}

impl Sender {
    /// Opens it for an interface that is up.
    #[track_caller]
    pub fn open(host: &Host, interface: &str) -> Self {
        let [socket, direct] = [packet_socket(host), packet_socket(host)];
        send_only(&socket, host, interface);
        sys::switch_on(&direct, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS)
            .expect("Linux 3.14 has this option");
        send_only(&direct, host, interface);
        let counters = host.run(|| File::open("/proc/thread-self/net/dev")).expect("proc lists interfaces");
        Self { interface: interface.into(), socket, direct, counters }
    }

    /// Sends one frame. Captures on the sending host see it too, other than a flood's.
    #[track_caller]
    pub fn send(&self, frame: &[u8]) {
        let sent = self.socket.send(frame).unwrap_or_else(|error| panic!("cannot send a frame: {error}"));
        assert_eq!(sent, frame.len(), "the frame was cut off");
    }

    /// Sends `rate` frames a second for a time, over and over the same ones, on one CPU if one is given.
    ///
    /// A frame is sent no earlier than it is due, and within a millisecond after. Whoever is kept from the CPU catches
    /// up at once, so that the number is always that of rate and time. Of several queues, that of the CPU is used,
    /// whatever the addresses and ports.
    #[track_caller]
    pub fn flood(&self, frames: &[Vec<u8>], rate: u64, duration: Duration, cpu: Option<usize>) -> Sent {
        assert!(!frames.is_empty(), "a flood of nothing");
        let total = (u128::from(rate) * duration.as_nanos() / u128::from(SECOND)) as u64;
        let lost = self.dropped();
        let sent = on_fresh_thread("flood", || {
            cpu.into_iter().for_each(pin);
            self.pace(frames, rate, total)
        });
        assert_eq!(self.dropped(), lost, "frames sent on {} were lost on the link", self.interface);
        sent
    }

    fn pace(&self, frames: &[Vec<u8>], rate: u64, total: u64) -> Sent {
        let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let (mut count, mut next) = (0, 0);
        let first_ns = monotonic_ns();
        while count < total {
            let elapsed = monotonic_ns() - first_ns;
            let due = total.min((u128::from(elapsed) * u128::from(rate) / u128::from(SECOND)) as u64 + 1);
            if count == due {
                let frame_is_due = (u128::from(count) * u128::from(SECOND)).div_ceil(rate.into()) as u64;
                let next_tick = (elapsed / MILLISECOND + 1) * MILLISECOND;
                sleep_until(first_ns + frame_is_due.max(next_tick));
                continue;
            }
            let end = slices.len().min(next + BATCH.min((due - count) as usize));
            let sent = self.send_some(&slices[next..end]);
            count += sent as u64;
            next = (next + sent) % slices.len();
        }
        Sent { count, first_ns, last_ns: monotonic_ns() }
    }

    /// Sends at least one of these frames, and says how many.
    fn send_some(&self, slices: &[[IoSlice<'_>; 1]]) -> usize {
        let mut headers = MultiHeaders::<LinkAddr>::preallocate(slices.len(), None);
        let nowhere_else = vec![None; slices.len()];
        let started = monotonic_ns();
        loop {
            let fd = self.direct.as_raw_fd();
            match sendmmsg(fd, &mut headers, slices, &nowhere_else, [], MsgFlags::empty()) {
                Ok(results) => return results.count(),
                // The other end has not kept up: let it have the CPU, if it wants this one.
                Err(Errno::ENOBUFS | Errno::EINTR) if monotonic_ns() - started < PATIENCE => {
                    thread::yield_now();
                }
                Err(error) => panic!("cannot send on {}: {error}", self.interface),
            }
        }
    }

    /// Frames that the interface took and lost.
    fn dropped(&self) -> u64 {
        let mut text = [0; 16_384];
        let length = self.counters.read_at(&mut text, 0).expect("proc can be read");
        let text = String::from_utf8_lossy(&text[..length]);
        let mut lines =
            text.lines().filter_map(|line| line.trim().strip_prefix(&self.interface)?.strip_prefix(':'));
        // Eight columns about what was received; then bytes, packets, errors and drops of what was sent.
        let column = lines.next().and_then(|line| line.split_whitespace().nth(11)?.parse().ok());
        column.unwrap_or_else(|| panic!("{} has no counters", self.interface))
    }
}

/// Keeps the calling thread on one CPU.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("a CPU has a small number");
    let this_thread = Pid::from_raw(0);
    sched_setaffinity(this_thread, &set).unwrap_or_else(|error| panic!("no CPU {cpu} to run on: {error}"));
}
