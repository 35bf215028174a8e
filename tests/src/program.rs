//! The inbound program without a network: one packet in, a verdict and a packet out (`BPF_PROG_TEST_RUN`).

use aya::programs::{TestRun, TestRunOptions};
use limiter_common::rule::Action;
use limiter_common::verdict::{Reason, Skip};
use limiter_user::bpf::{Programs, Tables};
use limiter_user::policy::{InboundRule, Policy};

/// Rules by name and number, in this order.
pub const PASSES: u16 = 80;
/// Refuses every SYN, by an RST.
pub const RESETS: u16 = 81;
/// Refuses every SYN, silently.
pub const DROPS: u16 = 82;
/// Counts every SYN as refused and lets it pass.
pub const MONITORS: u16 = 83;
/// Has no rule.
pub const UNRULED: u16 = 84;

/// What the program returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpVerdict {
    /// Something went wrong. Never expected.
    Aborted,
    /// Discarded.
    Drop,
    /// To the kernel's stack.
    Pass,
    /// Back out of the interface.
    Tx,
}

/// What the program counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A SYN within its limits.
    Passed,
    /// A SYN over one.
    Refused(Reason),
    /// A packet that was not judged.
    Skipped(Skip),
}

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The program's return value.
    pub verdict: XdpVerdict,
    /// Every counter that moved, once for each step.
    pub counted: Vec<Counted>,
    /// The packet as it came out.
    pub frame: Vec<u8>,
}

/// The program, loaded with a rule for each port above, and attached to nothing.
pub struct Program {
    programs: Programs,
}

impl Program {
    /// Loads it. The refusing rules have used up their total already.
    pub fn load() -> Self {
        let rules = vec![
            rule(PASSES, "10000000/s burst 10000000", Action::Reset, false),
            rule(RESETS, "1/h burst 1", Action::Reset, false),
            rule(DROPS, "1/h burst 1", Action::Drop, false),
            rule(MONITORS, "1/h burst 1", Action::Reset, true),
        ];
        let mut program = Self::with(&Policy { rules, ..Policy::default() });
        for port in [RESETS, DROPS, MONITORS] {
            let first =
                program.run(&super::packet::Frame::ipv4("192.0.2.9", "192.0.2.1").tcp(1, port).syn().build());
            assert_eq!(first.counted, [Counted::Passed], "the first SYN to {port} uses the total up");
        }
        program
    }

    /// Loads it with other rules.
    pub fn with(policy: &Policy) -> Self {
        let entries = policy.entries().expect("the policy is good");
        Self { programs: Programs::load(&entries, 4096).unwrap_or_else(|error| panic!("{error:?}")) }
    }

    /// Shows it one packet of at least 14 bytes.
    #[track_caller]
    pub fn run(&mut self, frame: &[u8]) -> Seen {
        let before = self.counters();
        let mut out = vec![0; frame.len() + 64];
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result = self.programs.inbound().test_run(options).expect("the program runs");
        out.truncate(result.data_size_out as usize);
        let verdict = match result.return_value {
            0 => XdpVerdict::Aborted,
            1 => XdpVerdict::Drop,
            2 => XdpVerdict::Pass,
            3 => XdpVerdict::Tx,
            other => panic!("the program returned {other}"),
        };
        Seen { verdict, counted: moved(&before, &self.counters()), frame: out }
    }

    /// The program and its maps.
    pub const fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn counters(&self) -> Vec<(Counted, u64)> {
        let tables = Tables::of(&self.programs).expect("the maps are there");
        let mut counters = Vec::new();
        for number in 1..=4 {
            let rule = tables.rule(number).expect("the counters can be read");
            counters.push((Counted::Passed, rule.passed));
            counters.extend(
                Reason::INBOUND.map(|reason| (Counted::Refused(reason), rule.refused[reason as usize])),
            );
        }
        let skipped = tables.skipped().expect("the counters can be read");
        counters.extend(Skip::ALL.map(|skip| (Counted::Skipped(skip), skipped.0[skip as usize])));
        counters
    }
}

fn moved(before: &[(Counted, u64)], after: &[(Counted, u64)]) -> Vec<Counted> {
    before
        .iter()
        .zip(after)
        .flat_map(|((what, before), (_, after))| (*before..*after).map(|_| *what))
        .collect()
}

fn rule(port: u16, total: &str, action: Action, monitor: bool) -> InboundRule {
    InboundRule {
        name: port.to_string(),
        ports: port.to_string().parse().expect("a port"),
        rate: None,
        total_rate: Some(total.parse().expect("a rate")),
        strangers_rate: None,
        charge: limiter_common::rule::Charge::Syn,
        max_open: None,
        backoff: std::time::Duration::ZERO,
        source_prefix: limiter_user::config::prefix::SourcePrefix::default(),
        action,
        monitor,
    }
}
