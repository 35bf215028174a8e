//! What makes the SYNs at the client's end.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use limiter_tests::bpf;
use limiter_tests::net::Host;
use limiter_tests::packet::Frame;
use limiter_tests::stream::{Flood, Order, Sources};
use limiter_tests::wire::{Sender, pin};
use nix::net::if_::if_nametoindex;

use super::line::{CLIENT, SPARE};
use super::{CPU, SERVER_ADDRESS};
use crate::packet::PORT;

/// Frames that one call sends.
const BATCH: u32 = 64;

/// Makes SYNs from one source after another.
pub enum Generator {
    /// A program in the kernel, without skbs.
    Live(Flood),
    /// A packet socket: each frame is copied into an skb.
    Packets(Sender, Vec<Vec<u8>>),
}

impl Generator {
    /// A program that varies this frame.
    pub fn live(client: &Host, frame: &[u8], sources: Sources, order: Order) -> Self {
        Self::Live(Flood::rewriting(client, CLIENT, frame, sources, order))
    }

    /// A packet socket, with a frame of IPv4 for each source, in the order of a program's low bits.
    pub fn packets(client: &Host, sources: Sources) -> Self {
        let count = 1u32 << sources.bits;
        // Odd, so that each number comes once; far from one, so that neighbours do not follow each other.
        // One call takes many of them; from one source as well.
        let numbers = (0..count.max(BATCH)).map(|number| number.wrapping_mul(0x9e37_79b1) & (count - 1));
        let frames = numbers.map(|number| {
            let source = Ipv4Addr::from_bits(sources.first.to_bits() + number).to_string();
            Frame::ipv4(&source, SERVER_ADDRESS).tcp(40_000, PORT).syn().build()
        });
        Self::Packets(Sender::open(client, CLIENT), frames.collect())
    }

    /// What is to be held while it is timed.
    ///
    /// A run adds its program to the dispatcher of XDP and takes it out again, unless it is attached somewhere; each waits
    /// for some ticks (`bpf_dispatcher_change_prog` in the kernel's kernel/bpf/dispatcher.c).
    pub fn hold(&self, client: &Host) -> anyhow::Result<Option<OwnedFd>> {
        match self {
            Self::Live(flood) => {
                let held = client.run(|| bpf::attach_xdp(flood, if_nametoindex(SPARE)?));
                Ok(Some(held.context("no XDP on a veth")?))
            }
            Self::Packets(..) => Ok(None),
        }
    }

    /// Sends so many, from the thread's network namespace.
    pub fn send(&self, count: u32) {
        match self {
            Self::Live(flood) => {
                pin(CPU);
                flood.send(count);
            }
            Self::Packets(sender, frames) => {
                // A rate that nobody reaches, for as long as these take at it.
                const RATE: u64 = 100_000_000;
                let time = Duration::from_nanos(u64::from(count) * (1_000_000_000 / RATE));
                sender.flood(frames, RATE, time, Some(CPU));
            }
        }
    }
}
