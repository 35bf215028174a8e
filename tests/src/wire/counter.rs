//! Counts what a host receives, without reading it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::Socket;

use super::clock::{MILLISECOND, monotonic_ns, sleep_until};
use super::{Filter, listen, packet_socket};
use crate::net::Host;
use crate::sys;

/// For so long nothing may arrive before it is believed that nothing will: the other end may wait for a CPU.
const QUIET: Duration = Duration::from_millis(100);

/// Counts the frames that pass a filter, from the moment it is opened, on all CPUs and without loss.
#[derive(Debug)]
pub struct Counter {
    socket: Socket,
    seen: AtomicU64,
}

impl Counter {
    /// Counts what the host receives on an interface, after XDP.
    #[track_caller]
    pub fn open(host: &Host, interface: &str, filter: Filter) -> Self {
        let socket = packet_socket(host);
        socket.attach_filter(&filter.program()).expect("the filter is valid");
        // Nobody reads the frames: the sooner they find no room the better.
        socket.set_recv_buffer_size(0).expect("the kernel takes its minimum instead");
        listen(&socket, host, interface);
        Self { socket, seen: AtomicU64::new(0) }
    }

    /// Frames up to now.
    pub fn count(&self) -> u64 {
        // The kernel counts a frame before it looks for room, and starts again from 0 after each question.
        let new = sys::statistics(&self.socket).expect("a packet socket has statistics").tp_packets.into();
        self.seen.fetch_add(new, Ordering::SeqCst) + new
    }

    /// Waits until that many have come. Returns how many did, at the latest after `timeout`.
    pub fn wait_for(&self, frames: u64, timeout: Duration) -> u64 {
        let end = monotonic_ns() + timeout.as_nanos() as u64;
        loop {
            let count = self.count();
            if count >= frames || monotonic_ns() >= end {
                return count;
            }
            sleep_until(monotonic_ns() + MILLISECOND);
        }
    }

    /// Waits until no more come (for 100 ms): for when it is not known how many will.
    pub fn settled(&self) -> u64 {
        let mut count = self.count();
        loop {
            let later = self.wait_for(count + 1, QUIET);
            if later == count {
                return count;
            }
            count = later;
        }
    }
}
