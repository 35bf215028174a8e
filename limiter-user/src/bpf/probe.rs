//! The loaded programs on trial: rules by which something must be refused for certain, and what the programs make of it.
//!
//! Port 0 and a rule number that no rule has are all that the trial of the program for interfaces takes; it runs on packets
//! that are in no queue (`BPF_PROG_TEST_RUN`). For the programs on cgroups some address is under a rule of its own meanwhile.
//! So what real rules count and hold stays as it is, and nothing of it is reported.

use std::net::IpAddr;

use anyhow::Context as _;
use aya::maps::lpm_trie::Key as Prefix;
use aya::maps::{Array, LpmTrie, MapData};
use aya::programs::{TestRun as _, TestRunOptions};
use limiter_common::gate::Total;
use limiter_common::gcra::{Limit, State};
use limiter_common::key::Address;
use limiter_common::maps;
use limiter_common::outbound::{HostRule, Kind, PROBE_RULE, SHARED_TAG, Subject};
use limiter_common::rule::{Action, Charge, PortSet, Rule};
use limiter_common::sources::{Set, pack};

use super::outbound::address;
use super::quiet::Tried;
use super::{Programs, RuleTotals, Tables};
use crate::clock;

/// The port that the trial takes, which no rule can name: an element of [`maps::PORTS`], and a place in it.
const PORT: u32 = 0;
const SECOND: u64 = 1_000_000_000;
/// What no sender reaches.
const WIDE: Limit = limit(10_000_000, SECOND, 10_000_000, 0);
/// What is used up by one.
const NARROW: Limit = limit(1, 3600 * SECOND, 1, 0);
/// What is used up, and refuses for longer than any trial lasts.
const PAUSED: Limit = limit(1, 3600 * SECOND, 1, 3600 * SECOND);
const ETHERNET: usize = 14;
/// A TCP header without options.
const TCP: [u8; 20] = [0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];

/// What is to be tried of the program for interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syn {
    /// A SYN to a rule with room for it.
    Within,
    /// A SYN to a rule that has used up what it admits.
    Over,
}

/// What the program for interfaces made of a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// What it returned: one of `enum xdp_action`.
    pub verdict: u32,
    /// What it counted meanwhile under the rule's number.
    pub counted: RuleTotals,
}

impl Programs {
    /// The number by which the kernel knows a loaded program.
    ///
    /// # Errors
    ///
    /// Where it is not loaded.
    pub fn id(&self, name: &str) -> anyhow::Result<u32> {
        let program = self.ebpf.program(name).with_context(|| format!("there is no program {name}"))?;
        Ok(program.info().with_context(|| format!("cannot look at program {name}"))?.id())
    }

    /// Shows the program for interfaces a SYN from the address 0 to port 0, over IPv4 or IPv6. Meanwhile the rule of that port
    /// has `number`, which must be that of no other rule.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn try_syn(&mut self, number: u32, syn: Syn, is_v6: bool) -> anyhow::Result<Seen> {
        let source =
            Tried::Source(number, if is_v6 { Address::from_v6([0; 16]) } else { Address::from_v4([0; 4]) });
        self.put_total(number, syn)?;
        self.hush(&[source])?;
        self.put_probe_port(number)?;
        let seen = self.show_syn(number, is_v6);
        self.put_probe_port(0)?;
        self.speak(&[source])?;
        seen
    }

    /// Puts addresses under a rule that refuses all.
    ///
    /// # Errors
    ///
    /// As the kernel says. What was put is for [`Self::unmark`] to take away.
    pub fn mark(&mut self, addresses: &[IpAddr]) -> anyhow::Result<()> {
        self.put_shared_state(pack(SHARED_TAG, PAUSED.back_off(clock::now())))?;
        self.hush(&destinations(addresses))?;
        let mut rule = HostRule { shared: 1, ..HostRule::default() };
        rule.limits[Kind::Rate as usize] = PAUSED;
        let mut rules: Array<&mut MapData, HostRule> = self.map_mut(maps::HOST_RULES).try_into()?;
        rules.set(PROBE_RULE, rule, 0).context("cannot write a rule")?;
        let mut networks: LpmTrie<&mut MapData, [u64; 2], u32> = self.map_mut(maps::NETWORKS).try_into()?;
        for ip in addresses {
            networks.insert(&host(*ip), PROBE_RULE, 0).with_context(|| format!("cannot write {ip}"))?;
        }
        Ok(())
    }

    /// Takes them away again.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn unmark(&mut self, addresses: &[IpAddr]) -> anyhow::Result<()> {
        let mut networks: LpmTrie<&mut MapData, [u64; 2], u32> = self.map_mut(maps::NETWORKS).try_into()?;
        for ip in addresses {
            // Where putting them failed, some are not there.
            let _ = networks.remove(&host(*ip));
        }
        self.speak(&destinations(addresses))?;
        self.put_shared_state(0)
    }

    fn show_syn(&mut self, number: u32, is_v6: bool) -> anyhow::Result<Seen> {
        let before = Tables::of(self)?.rule(number)?;
        let frame = syn(is_v6);
        let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
        let result = self.inbound().test_run(options).context("cannot try the program for interfaces")?;
        let after = Tables::of(self)?.rule(number)?;
        Ok(Seen { verdict: result.return_value, counted: since(&before, &after) })
    }

    fn put_probe_port(&mut self, number: u32) -> anyhow::Result<()> {
        let mut ports: Array<&mut MapData, PortSet> = self.map_mut(maps::PORTS).try_into()?;
        let mut set = ports.get(&PORT, 0).context("cannot read the ports")?;
        set.0[PORT as usize] = number as u8;
        ports.set(PORT, set, 0).context("cannot write the ports")
    }

    /// One total for all sources, so that no source takes a cell of the table.
    fn put_total(&mut self, number: u32, syn: Syn) -> anyhow::Result<()> {
        let (now, mut shared) = (clock::now(), Total::default());
        let (total, state) = match syn {
            Syn::Within => (WIDE, State::default()),
            Syn::Over => (NARROW, NARROW.admit(State::default(), now).next),
        };
        shared.0[Total::ALL] = state.bits();
        let rule = Rule {
            rate: Limit::NONE,
            total,
            strangers: Limit::NONE,
            mask_v4: Address::mask(128),
            mask_v6: Address::mask(64),
            action: Action::Drop as u32,
            monitor: 0,
            max_open: 0,
            charge: Charge::Syn as u32,
            hints: 0,
            reserved: 0,
        };
        let mut rules: Array<&mut MapData, Rule> = self.map_mut(maps::RULES).try_into()?;
        rules.set(number, rule, 0).context("cannot write a rule")?;
        let mut totals: Array<&mut MapData, Total> = self.map_mut(maps::TOTALS).try_into()?;
        totals.set(number, shared, 0).context("cannot write what a rule has used up")
    }

    fn put_shared_state(&mut self, cell: u64) -> anyhow::Result<()> {
        let mut states: Array<&mut MapData, Set> = self.map_mut(maps::SHARED_STATES).try_into()?;
        let mut set = Set::default();
        set.0[0] = cell;
        let place = Subject { rule: PROBE_RULE, key: [0; 2] }.shared_set(Kind::Rate);
        states.set(place, set, 0).context("cannot write what a rule has used up")
    }
}

const fn limit(count: u64, per: u64, burst: u64, backoff: u64) -> Limit {
    match Limit::new(count, per, burst, backoff) {
        Ok(limit) => limit,
        Err(_) => panic!("a limit that the kernel can hold"),
    }
}

fn destinations(addresses: &[IpAddr]) -> Vec<Tried> {
    addresses.iter().map(|ip| Tried::Destination(PROBE_RULE, *ip)).collect()
}

fn host(ip: IpAddr) -> Prefix<[u64; 2]> {
    Prefix::new(128, address(ip).halves())
}

/// A SYN from the address 0 and port 40000 to the address 0 and port 0, which no machine sends.
fn syn(is_v6: bool) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET];
    let (ethertype, header): ([u8; 2], &[u8]) = if is_v6 {
        ([0x86, 0xdd], &[0x60, 0, 0, 0, 0, TCP.len() as u8, 6, 64])
    } else {
        ([0x08, 0x00], &[0x45, 0, 0, 20 + TCP.len() as u8, 0, 0, 0, 0, 64, 6, 0, 0])
    };
    frame[ETHERNET - 2..].copy_from_slice(&ethertype);
    frame.extend(header);
    frame.extend(vec![0; if is_v6 { 32 } else { 8 }]);
    frame.extend(TCP);
    frame
}

/// What was counted in between.
fn since(before: &RuleTotals, after: &RuleTotals) -> RuleTotals {
    RuleTotals {
        passed: after.passed - before.passed,
        allowed: after.allowed - before.allowed,
        refused: std::array::from_fn(|i| after.refused[i] - before.refused[i]),
        ..RuleTotals::default()
    }
}
