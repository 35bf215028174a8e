//! A wire with a generator at one end and a filter at the other.

use std::time::{Duration, Instant};

use anyhow::ensure;
use limiter_tests::net::{AttachedXdp, Host, LinkOptions, XdpAction, link};
use limiter_tests::packet::Mac;
use limiter_tests::stream::{Order, Sources};

use super::counters::Counters;
use super::filter::{Filter, Placed};
use super::generator::Generator;
use super::{FIRST, SERVER, SERVER_ADDRESS};

/// The client's interface.
pub const CLIENT: &str = "client0";
/// Another interface there, that nothing goes over.
pub const SPARE: &str = "spare0";
/// Before a first look at sources, frames come from this one.
const OTHER: &str = "31.0.0.0";
/// A call makes so many frames at a time, at least.
const FEW: u32 = 64;
/// So many frames bring the code, and the pool that frames come from, into the cache.
const WARM_UP: u32 = 1 << 12;
/// For so long a frame may be on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many of a hundred frames must have met the fate that a case is named after.
const SHARE: u64 = 99;

/// Two hosts of its own, and how many SYNs have gone from one to the other.
pub struct Line {
    placed: Placed,
    generator: Generator,
    counters: Counters,
    /// Where the counters stood when what is measured began.
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
    /// With a filter at the server's end, that already knows 2 to the power of `bits` sources, and with SYNs like this one.
    pub fn new(filter: Filter, bits: u32, frame: &[u8]) -> anyhow::Result<Self> {
        let sources = Sources { first: FIRST.parse()?, bits };
        let mut line =
            Self::unused(filter, bits, |client| Generator::live(client, frame, sources, Order::InTurn))?;
        line.send((1 << bits).max(FEW))?;
        // In the order in which tables were filled, their memory would be read from its start to its end.
        line.generator = Generator::live(&line.client, frame, sources, Order::Random);
        line.restart()?;
        Ok(line)
    }

    /// The same with a packet socket in place of the program that makes frames.
    pub fn of_packets(filter: Filter, bits: u32, frame: &[u8]) -> anyhow::Result<Self> {
        let mut line = Self::new(filter, bits, frame)?;
        line.generator = Generator::packets(&line.client, Sources { first: FIRST.parse()?, bits });
        Ok(line)
    }

    /// Nanoseconds a SYN, where each of 2 to the power of `bits` SYNs is the first of its source.
    pub fn cost_of_new(filter: Filter, bits: u32, frame: &[u8]) -> anyhow::Result<f64> {
        let other = Sources { first: OTHER.parse()?, bits: 0 };
        let generator = |client: &Host| Generator::live(client, frame, other, Order::InTurn);
        let mut line = Self::unused(filter, bits, generator)?;
        line.send(WARM_UP)?;
        let sources = Sources { first: FIRST.parse()?, bits };
        line.generator = Generator::live(&line.client, frame, sources, Order::InTurn);
        line.restart()?;
        let before = line.placed.new_ones(&line.server)?;
        let held = line.generator.hold(&line.client)?;
        let time = line.send(1 << bits)?;
        drop(held);
        match (before, line.placed.new_ones(&line.server)?) {
            (Some(before), Some(now)) => {
                let new = now - before;
                let holds = new * 100 >= line.sent * SHARE && new <= line.sent;
                ensure!(holds, "of {} sources {new} were new", line.sent);
            }
            _ => {
                line.share()?;
            }
        }
        Ok(time.as_secs_f64() * 1e9 / f64::from(1u32 << bits))
    }

    fn unused(filter: Filter, bits: u32, generator: impl FnOnce(&Host) -> Generator) -> anyhow::Result<Self> {
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
        let generator = generator(&client);
        let counters = Counters::of(&server)?;
        let start = Stood::default();
        let mut line =
            Self { placed, generator, counters, start, sent: 0, server, client, _answers: answers };
        line.restart()?;
        Ok(line)
    }

    /// From here on it is measured.
    fn restart(&mut self) -> anyhow::Result<()> {
        self.start = self.stood()?;
        self.sent = 0;
        Ok(())
    }

    /// Nanoseconds a SYN, by the wall clock, until the server's end is done with the last; the call's own cost is taken off.
    ///
    /// The server's end is served on the processor that sends, most often within the call, by ksoftirqd if it must: the
    /// processor time of this thread would not be all.
    pub fn cost(&mut self, count: u32) -> anyhow::Result<f64> {
        let _held = self.generator.hold(&self.client)?;
        let fixed = self.send(FEW)?.min(self.send(FEW)?);
        let time = self.send(count)?.saturating_sub(fixed);
        Ok(time.as_secs_f64() * 1e9 / f64::from(count - FEW))
    }

    fn send(&mut self, count: u32) -> anyhow::Result<Duration> {
        self.sent += u64::from(count);
        let expected = self.start.received + self.sent;
        let (generator, counters) = (&self.generator, &self.counters);
        let (time, received) = self.client.run(|| -> anyhow::Result<_> {
            let start = Instant::now();
            generator.send(count);
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

    /// How many of a hundred frames met the fate that the case is called after: refused by the filter, or seen by TCP where
    /// there is none. An error where that is not what was measured.
    pub fn share(&self) -> anyhow::Result<f64> {
        let now = self.stood()?;
        let segments = now.segments - self.start.segments;
        let (what, count) = match &self.placed {
            Placed::Floor { .. } => ("dropped", self.sent - segments),
            Placed::Listener { .. } | Placed::Tracked { .. } => ("seen by TCP", segments),
            _ => ("refused", now.refused - self.start.refused),
        };
        ensure!(
            count * 100 >= self.sent * SHARE && count <= self.sent,
            "of {} frames {count} were {what}",
            self.sent
        );
        Ok(count as f64 / self.sent as f64 * 100.0)
    }
}
