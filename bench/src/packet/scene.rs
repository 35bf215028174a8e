//! The program for interfaces, loaded with a rule, and the frames that it is shown.

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::Context as _;
use limiter_common::lists::FOREVER;
use limiter_common::maps::DEFAULT_SOURCES;
use limiter_common::rule::{Action, Charge};
use limiter_tests::packet::Frame;
use limiter_tests::stream::{Sources, Stream};
use limiter_user::bpf::lists::{List, Listed, Lists};
use limiter_user::bpf::{Pins, Programs, Tables};
use limiter_user::config::network::Network;
use limiter_user::config::prefix::SourcePrefix;
use limiter_user::policy::{InboundRule, Policy, ResetBudget};

use super::cost;

/// The port that a rule holds for.
pub const PORT: u16 = 80;
/// Where streams begin; none of it is on a list.
const FIRST: Ipv4Addr = Ipv4Addr::new(32, 0, 0, 0);
/// Where lists begin.
const LISTED: u32 = 0x0a00_0000;
/// Never reached.
const PLENTY: &str = "10000000/s burst 1000000000";

/// As good as used up.
const USED_UP: &str = "1/h burst 2";

/// A rule for [`PORT`] under which everything passes.
pub fn rule() -> InboundRule {
    InboundRule {
        name: "bench".into(),
        ports: PORT.to_string().parse().expect("a port"),
        rate: Some(PLENTY.parse().expect("a rate")),
        total_rate: None,
        strangers_rate: None,
        charge: Charge::Syn,
        max_open: None,
        backoff: Duration::ZERO,
        source_prefix: SourcePrefix::default(),
        action: Action::Drop,
        monitor: false,
    }
}

/// The same where next to nothing passes.
pub fn closed() -> InboundRule {
    InboundRule { rate: Some(USED_UP.parse().expect("a rate")), ..rule() }
}

/// A SYN to [`PORT`].
pub fn syn() -> Vec<u8> {
    syn_from("198.51.100.7")
}

/// The same to another port.
pub fn syn_to(port: u16) -> Vec<u8> {
    Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, port).syn().build()
}

/// The same of IPv6.
pub fn syn_v6() -> Vec<u8> {
    Frame::ipv6("2001:db8::7", "2001:db8::1").tcp(40_000, PORT).syn().build()
}

fn syn_from(source: &str) -> Vec<u8> {
    Frame::ipv4(source, "192.0.2.1").tcp(40_000, PORT).syn().build()
}

/// The program, attached to nothing.
pub struct Scene {
    programs: Programs,
    frame: Vec<u8>,
    stream: Option<Stream>,
    rules: u32,
}

impl Scene {
    /// With these rules, and one frame that never changes.
    pub fn new(rules: Vec<InboundRule>, frame: Vec<u8>) -> anyhow::Result<Self> {
        Self::sized(rules, frame, DEFAULT_SOURCES)
    }

    /// The same with room for so many sources.
    pub fn sized(rules: Vec<InboundRule>, frame: Vec<u8>, sources: u64) -> anyhow::Result<Self> {
        Self::with_budget(rules, frame, sources, PLENTY)
    }

    /// With a budget for resets that is used up, and the same SYN written anew each time.
    pub fn silent(rules: Vec<InboundRule>) -> anyhow::Result<Self> {
        let mut scene = Self::with_budget(rules, syn(), DEFAULT_SOURCES, USED_UP)?;
        scene.stream = Some(scene.another_stream(0, true)?);
        Ok(scene)
    }

    fn with_budget(
        rules: Vec<InboundRule>,
        frame: Vec<u8>,
        sources: u64,
        budget: &str,
    ) -> anyhow::Result<Self> {
        let budget = || budget.parse().expect("a rate");
        let resets = Some(ResetBudget { rate: budget(), total_rate: budget() });
        let count = rules.len() as u32;
        // Each needs a name of its own.
        let named =
            (1..).zip(rules).map(|(number, rule)| InboundRule { name: format!("bench-{number}"), ..rule });
        let rules = named.collect();
        let entries = Policy { rules, resets, ..Policy::default() }.entries()?;
        Ok(Self { programs: Programs::load(&entries, sources)?, frame, stream: None, rules: count })
    }

    /// With SYNs from 2 to the power of `bits` sources, at random; with `restore`, each as if it were the first.
    pub fn streamed(rules: Vec<InboundRule>, bits: u32, restore: bool) -> anyhow::Result<Self> {
        let mut scene = Self::new(rules, syn())?;
        scene.stream = Some(scene.another_stream(bits, restore)?);
        Ok(scene)
    }

    /// The same with another frame, which may be of IPv6.
    pub fn streamed_in(rules: Vec<InboundRule>, frame: Vec<u8>, bits: u32) -> anyhow::Result<Self> {
        let mut scene = Self::new(rules, frame)?;
        scene.stream = Some(scene.another_stream(bits, false)?);
        Ok(scene)
    }

    /// A program that shows it more of these, for another CPU.
    pub fn another_stream(&mut self, bits: u32, restore: bool) -> anyhow::Result<Stream> {
        let sources = Sources { first: FIRST, bits };
        Ok(Stream::before(self.programs.inbound().fd()?, &self.frame, sources, restore)?)
    }

    /// With so many addresses on a list, each in a /24 of its own as far as there are; then the frame is from one of them.
    ///
    /// In a sandbox: the lists are pinned.
    pub fn listed(list: List, count: u32, from_listed: bool) -> anyhow::Result<Self> {
        let address = |number: u32| Ipv4Addr::from_bits(LISTED + number * 251);
        let frame = if from_listed { syn_from(&address(count / 2).to_string()) } else { syn() };
        let scene = Self::new(vec![rule()], frame)?;
        let pins = Pins::locate();
        pins.create()?;
        pins.pin_maps(scene.programs.maps())?;
        fs::create_dir_all("/run/limiterctl").context("no /run/limiterctl")?;
        let listed = (0..count).map(|number| -> anyhow::Result<Listed> {
            Ok(Listed { network: address(number).to_string().parse::<Network>()?, scope: 0, until: FOREVER })
        });
        Lists::open(&pins)?.replace(list, 0, &listed.collect::<anyhow::Result<Vec<_>>>()?)?;
        pins.remove()?;
        Ok(scene)
    }

    /// Nanoseconds a frame.
    pub fn cost(&mut self, repeat: u32) -> anyhow::Result<f64> {
        let program: BorrowedFd<'_> = match &self.stream {
            Some(stream) => stream.as_fd(),
            None => self.programs.inbound().fd()?.as_fd(),
        };
        Ok(cost::nanoseconds(&program, &self.frame, repeat)?)
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The programs and their maps.
    pub const fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }

    /// How many SYNs passed, were refused, and were answered.
    pub fn counted(&self) -> anyhow::Result<Counted> {
        let tables = Tables::of(&self.programs)?;
        let mut counted = Counted { passed: 0, refused: 0, resets: 0 };
        for number in 1..=self.rules {
            let rule = tables.rule(number)?;
            counted.passed += rule.passed + rule.allowed;
            counted.refused += rule.refused.iter().sum::<u64>();
            counted.resets += rule.resets;
        }
        Ok(counted)
    }
}

/// What rules have counted.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// Passed, for whatever reason.
    pub passed: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
    /// Of these, answered.
    pub resets: u64,
}
