//! Counts what a host receives, source by source.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Capture;
use super::clock::{MILLISECOND, monotonic_ns, sleep_until};
use crate::net::Host;
use crate::packet::Parsed;

/// How soon its thread notices that nobody wants to know any more.
const GLANCE: Duration = Duration::from_millis(50);

/// TCP segments received, by the address that they came from. A thread reads them; one that gets behind panics.
#[derive(Debug)]
pub struct Tally {
    counts: Arc<Mutex<BTreeMap<IpAddr, u64>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Tally {
    /// Counts what the host receives on an interface, after XDP.
    #[track_caller]
    pub fn open(host: &Host, interface: &str) -> Self {
        let capture = Capture::open(host, interface);
        let (counts, stop) = (Arc::default(), Arc::default());
        let reader = thread::spawn({
            let (counts, stop) = (Arc::clone(&counts), Arc::clone(&stop));
            move || read(&capture, &counts, &stop)
        });
        Self { counts, stop, reader: Some(reader) }
    }

    /// Waits until that many have come in all. Returns how many did from whom, at the latest after `timeout`.
    #[track_caller]
    pub fn wait_for(mut self, segments: u64, timeout: Duration) -> BTreeMap<IpAddr, u64> {
        let end = monotonic_ns() + timeout.as_nanos() as u64;
        while self.total() < segments && monotonic_ns() < end {
            sleep_until(monotonic_ns() + MILLISECOND);
        }
        self.end().expect("the tally has kept up");
        std::mem::take(&mut self.counts.lock().expect("the reader has ended"))
    }

    fn total(&self) -> u64 {
        self.counts.lock().map_or(u64::MAX, |counts| counts.values().sum())
    }

    fn end(&mut self) -> thread::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // Its panic, if any, is another test's message.
        let _ = self.end();
    }
}

fn read(capture: &Capture, counts: &Mutex<BTreeMap<IpAddr, u64>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(frame) = capture.next(GLANCE).filter(|frame| !frame.outgoing) else { continue };
        if let Some(segment) = Parsed::tcp(&frame.bytes) {
            *counts.lock().expect("nobody panics with it").entry(segment.source).or_default() += 1;
        }
    }
}
