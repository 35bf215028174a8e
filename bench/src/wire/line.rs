//! A wire with a generator at one end and a filter at the other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use limiter_tests::bpf;
use limiter_tests::net::{AttachedXdp, Host, LinkOptions, XdpAction, link};
use limiter_tests::packet::Mac;
use limiter_tests::stream::{Flood, Order, Sources};
use limiter_tests::wire::pin;
use nix::net::if_::if_nametoindex;

use super::counters::Counters;
use super::filter::{Filter, Placed};
use super::{FIRST, SERVER, SERVER_ADDRESS};
use crate::packet::syn;

const CLIENT: &str = "client0";
/// Another interface there, that nothing goes over.
const SPARE: &str = "spare0";
/// A call makes so many frames at a time, at least.
const FEW: u32 = 64;
/// For so long a frame may be on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many of a hundred frames must have met the fate that a case is named after.
const SHARE: u64 = 99;

/// Two hosts of its own, and how many SYNs have gone from one to the other.
pub struct Line {
    placed: Placed,
    flood: Flood,
    counters: Counters,
    /// Where the counters stood when all sources had used up what they may.
    start: Stood,
    sent: u64,
    server: Host,
    client: Host,
    _answers: AttachedXdp,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stood {
    received: u64,
    segments: u64,
    refused: u64,
}

impl Line {
    /// With a filter at the server's end, that already knows 2 to the power of `bits` sources.
    pub fn new(filter: Filter, bits: u32) -> anyhow::Result<Self> {
        let (client, server) = (Host::new("client"), Host::new("server"));
        let options = LinkOptions { queues: 1, xdp_tx: false, ..LinkOptions::default() };
        link(&client, CLIENT, &server, SERVER, options);
        client.ip(&format!("link add name {SPARE} type veth peer name spare1"));
        // Answers end here, at the least cost.
        let answers = client.attach_xdp(CLIENT, XdpAction::Drop);
        if filter.needs_address() {
            server.add_address(SERVER, &format!("{SERVER_ADDRESS}/24"));
            let gateway = "192.0.2.2";
            server.add_neighbour(SERVER, gateway.parse()?, Mac::CLIENT);
            server.add_route("default", &format!("via {gateway}"));
        }

        // GRO makes a ring for frames of XDP, but only a program that is attached says that there is one.
        drop(server.attach_xdp(SERVER, XdpAction::Pass));
        let placed = filter.place(&server, bits)?;
        let sources = Sources { first: FIRST.parse()?, bits };
        let flood = |order| Flood::rewriting(&client, CLIENT, &syn(), sources, order);
        // In the order in which tables were filled, their memory would be read from its start to its end.
        let (all, any) = (flood(Order::InTurn), flood(Order::Random));
        let counters = Counters::of(&server)?;
        let start = Stood::default();
        let mut line =
            Self { placed, flood: all, counters, start, sent: 0, server, client, _answers: answers };
        line.start = line.stood()?;
        line.send((1 << bits).max(FEW))?;
        line.flood = any;
        line.start = line.stood()?;
        line.sent = 0;
        Ok(line)
    }

    /// Nanoseconds a SYN, by the wall clock, until the server's end is done with the last; the call's own cost is taken off.
    ///
    /// The server's end is served on the processor that sends, most often within the call, by ksoftirqd if it must: the
    /// processor time of this thread would not be all.
    pub fn cost(&mut self, count: u32) -> anyhow::Result<f64> {
        // A run adds its program to the dispatcher of XDP and takes it out again, unless it is attached somewhere; each
        // waits for some ticks (`bpf_dispatcher_change_prog` in the kernel's kernel/bpf/dispatcher.c).
        let flood = &self.flood;
        let _attached =
            self.client.run(|| bpf::attach_xdp(flood, if_nametoindex(SPARE)?)).context("no XDP on a veth")?;
        let fixed = self.send(FEW)?.min(self.send(FEW)?);
        let time = self.send(count)?.saturating_sub(fixed);
        Ok(time.as_secs_f64() * 1e9 / f64::from(count - FEW))
    }

    fn send(&mut self, count: u32) -> anyhow::Result<Duration> {
        self.sent += u64::from(count);
        let expected = self.start.received + self.sent;
        let (flood, counters) = (&self.flood, &self.counters);
        let (time, received) = self.client.run(|| -> anyhow::Result<_> {
            pin(0);
            let start = Instant::now();
            flood.send(count);
            loop {
                let received = counters.received(SERVER)?;
                let time = start.elapsed();
                if received >= expected || time > PATIENCE {
                    return Ok((time, received));
                }
            }
        })?;
        ensure!(
            received == expected,
            "of {} frames sent {} have arrived",
            self.sent,
            received - self.start.received
        );
        Ok(time)
    }

    fn stood(&self) -> anyhow::Result<Stood> {
        Ok(Stood {
            received: self.counters.received(SERVER)?,
            segments: self.counters.segments()?,
            refused: self.placed.refused(&self.server)?.unwrap_or(0),
        })
    }

    /// That what was measured is what it is called: refused by the filter, or seen by TCP where there is none.
    pub fn check(&self) -> anyhow::Result<()> {
        let now = self.stood()?;
        let segments = now.segments - self.start.segments;
        let (what, count) = match &self.placed {
            Placed::Floor { .. } => ("dropped", self.sent - segments),
            Placed::Listener { .. } => ("seen by TCP", segments),
            _ => ("refused", now.refused - self.start.refused),
        };
        ensure!(
            count * 100 >= self.sent * SHARE && count <= self.sent,
            "of {} frames {count} were {what}",
            self.sent
        );
        Ok(())
    }
}
