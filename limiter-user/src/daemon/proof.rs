//! Proves that limits are enforced: what must be refused is tried, with the very programs that were attached.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;

use limiter_common::maps::MAX_RULES;
use limiter_common::outbound::{PROBE_RULE, Settings};
use limiter_common::verdict::Reason;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use crate::bpf::outbound::ON_CGROUPS;
use crate::bpf::probe::{Seen, Syn};
use crate::bpf::{HostTables, INBOUND, Pins, Programs, cgroup_link, interface_link, open::COUNT_OPEN};
use crate::cgroup::{Call, Cgroup, Outcome, attempt};
use crate::failure::Failure;
use crate::policy::{Entries, OutboundEntries};
use crate::state::{AttachedCgroup, AttachedInterface, Proof, State};
use crate::table;

/// `enum xdp_action` (linux/bpf.h).
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What each link and the program for interfaces do: it can be done again and again, and nobody notices.
    Unnoticed,
    /// Also what processes in the cgroups are told: each gets a child for a moment, and a process there.
    All,
}

/// Limits that are said to be in force.
pub struct Claim<'a> {
    /// The rules, as the kernel has them.
    pub entries: &'a Entries,
    /// Where they are.
    pub state: &'a State,
}

impl Claim<'_> {
    /// Tries it.
    ///
    /// # Errors
    ///
    /// What must be refused is not; or the kernel does not let it be tried.
    pub fn prove(&self, programs: &mut Programs, pins: &Pins, extent: Extent) -> anyhow::Result<Proof> {
        let mut untried = Vec::new();
        self.check_links(programs, pins)?;
        if !self.entries.rules.is_empty() {
            match self.spare_number() {
                Some(number) => prove_inbound(programs, number)?,
                None => untried.push("the program for interfaces: every rule number is in use".to_owned()),
            }
        }
        if let (Some(entries), Extent::All) = (&self.entries.outbound, extent) {
            for cgroup in self.cgroups() {
                untried.extend(prove_cgroup(programs, pins, entries, cgroup)?);
            }
        }
        Ok(Proof { at: table::time(0), untried, failure: None })
    }

    /// Tries it once more; what is to be noted. What did not hold the last time is tried in full.
    pub fn prove_again(&self, programs: &mut Programs, pins: &Pins, extent: Extent) -> Proof {
        let before = self.state.proof.clone();
        let failed = before.as_ref().is_none_or(|before| before.failure.is_some());
        let extent = if failed { Extent::All } else { extent };
        let before = before.unwrap_or(Proof { at: table::time(0), untried: Vec::new(), failure: None });
        match self.prove(programs, pins, extent) {
            Ok(_) if extent == Extent::Unnoticed && self.cgroups().next().is_some() => before,
            Ok(proof) => proof,
            Err(error) => Proof { failure: Some(format!("{error:#}")), ..before },
        }
    }

    /// Those that are still there.
    fn cgroups(&self) -> impl Iterator<Item = &AttachedCgroup> {
        let is_there =
            |cgroup: &&AttachedCgroup| fs::metadata(&cgroup.path).is_ok_and(|about| about.ino() == cgroup.id);
        self.state.outbound.iter().flat_map(|outbound| &outbound.cgroups).filter(is_there)
    }

    fn check_links(&self, programs: &Programs, pins: &Pins) -> anyhow::Result<()> {
        let mut expected = Vec::new();
        // What has gone meanwhile takes its link with it, and is nothing that could be limited.
        let is_there = |interface: &&AttachedInterface| {
            if_nametoindex(&*interface.name).is_ok_and(|index| index == interface.index)
        };
        for interface in self.state.interfaces.iter().filter(is_there) {
            expected.push((
                interface_link(interface.index),
                interface.index.into(),
                INBOUND,
                &*interface.name,
            ));
        }
        for cgroup in self.cgroups() {
            let link = |program| (cgroup_link(cgroup.id, program), cgroup.id, program, &*cgroup.name);
            expected.extend(ON_CGROUPS.map(link));
        }
        if self.entries.watch_handshakes() {
            let root = Cgroup::open_root()?.metadata()?.ino();
            expected.push((COUNT_OPEN.to_owned(), root, COUNT_OPEN, "the root cgroup"));
        }
        for (link, target, program, place) in expected {
            let is_there = pins.link(&link)?.filter(|link| link.target == target);
            if is_there.map(|link| link.program()) != Some(programs.id(program)?) {
                return Err(unproved(&format!("program {program} is not on {place}")));
            }
        }
        Ok(())
    }

    /// A number that no rule for ports has.
    fn spare_number(&self) -> Option<u32> {
        (1..MAX_RULES).rev().find(|number| self.entries.rules.iter().all(|(taken, _)| taken != number))
    }
}

fn prove_inbound(programs: &mut Programs, number: u32) -> anyhow::Result<()> {
    for is_v6 in [false, true] {
        for syn in [Syn::Within, Syn::Over] {
            let seen = programs.try_syn(number, syn, is_v6)?;
            if !is_right(syn, &seen) {
                let (which, version) = (which(syn), if is_v6 { 6 } else { 4 });
                return Err(unproved(&format!(
                    "the program for interfaces returned {} for {which} over IPv{version}, and counted {:?}",
                    seen.verdict, seen.counted
                )));
            }
        }
    }
    Ok(())
}

const fn which(syn: Syn) -> &'static str {
    match syn {
        Syn::Within => "a SYN within its limit",
        Syn::Over => "a SYN over its limit",
    }
}

/// Whether a SYN met the verdict that it must. Where lists say something of the address 0, or of every address, that decides.
fn is_right(syn: Syn, seen: &Seen) -> bool {
    let refused = |reason: Reason| seen.counted.refused[reason as usize] > 0;
    match seen.verdict {
        XDP_PASS => seen.counted.allowed > 0 || syn == Syn::Within && seen.counted.passed > 0,
        XDP_DROP => refused(Reason::Denied) || syn == Syn::Over && refused(Reason::Total),
        _ => false,
    }
}

/// Tries one cgroup; says what could not be tried.
fn prove_cgroup(
    programs: &mut Programs,
    pins: &Pins,
    entries: &OutboundEntries,
    cgroup: &AttachedCgroup,
) -> anyhow::Result<Vec<String>> {
    let cannot = |why: String| vec![format!("cgroup {}: {why}", cgroup.name)];
    let Some(addresses) = documentation(entries) else {
        return Ok(cannot("rules list every address that could be tried".into()));
    };
    let calls: Vec<_> = addresses.into_iter().flat_map(|ip| [Call::Connect(ip), Call::Send(ip)]).collect();
    let tables = HostTables::pinned(pins)?;
    let refused = || anyhow::Ok(tables.counters(PROBE_RULE)?.refused[Reason::Backoff as usize]);
    let before = refused()?;
    let outcomes = programs.mark(&addresses).map(|()| attempt(&cgroup.path, &calls));
    programs.unmark(&addresses)?;
    let outcomes = match outcomes {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(error)) => return Ok(cannot(format!("no process can be tried in it: {error}"))),
        Err(error) => return Ok(cannot(format!("{error:#}"))),
    };
    let trial = Trial {
        errno: Errno::from_raw(entries.errno as i32),
        monitor: entries.flags & Settings::MONITOR != 0,
        counted: refused()? - before,
    };
    trial.judge(&calls, &outcomes).map_err(|what| unproved(&format!("cgroup {}: {what}", cgroup.name)))?;
    let no_socket = |(call, outcome): (&Call, &Outcome)| match outcome {
        Outcome::NoSocket(errno) => Some(format!("cgroup {}: {call:?}: {}", cgroup.name, errno.desc())),
        Outcome::Told(_) => None,
    };
    Ok(calls.iter().zip(&outcomes).filter_map(no_socket).collect())
}

/// Calls that were refused, or were to be.
struct Trial {
    /// What a refused call is told.
    errno: Errno,
    /// Whether refusals are only counted.
    monitor: bool,
    /// How many refusals were counted.
    counted: u64,
}

impl Trial {
    /// Whether all calls met what they must; what a call met instead.
    fn judge(&self, calls: &[Call], outcomes: &[Outcome]) -> Result<(), String> {
        let told = || {
            outcomes.iter().zip(calls).filter_map(|(outcome, call)| match outcome {
                Outcome::Told(told) => Some((call, told)),
                Outcome::NoSocket(_) => None,
            })
        };
        if let (false, Some((call, told))) =
            (self.monitor, told().find(|(_, told)| **told != Err(self.errno)))
        {
            let told = told.map_or_else(|errno| errno.to_string(), |()| "nothing".to_owned());
            return Err(format!("{call:?} should be told {} and was told {told}", self.errno));
        }
        let (made, counted) = (told().count() as u64, self.counted);
        if counted < made {
            return Err(format!("of {made} calls that should be refused {counted} were counted"));
        }
        Ok(())
    }
}

/// Addresses that are nobody's (RFC 5737, RFC 3849) and that no rule lists by themselves.
fn documentation(entries: &OutboundEntries) -> Option<[IpAddr; 2]> {
    let is_listed = |ip: &IpAddr| entries.networks.iter().any(|(network, _)| *network == (*ip).into());
    let pair = |last: u8| {
        [
            Ipv4Addr::new(192, 0, 2, last).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xffff, last.into()).into(),
        ]
    };
    (0..=u8::MAX).rev().map(pair).find(|pair| !pair.iter().any(is_listed))
}

fn unproved(what: &str) -> anyhow::Error {
    Failure::new(
        format!("the limits do not hold: {what}"),
        "another BPF program may be in the way: bpftool cgroup tree, bpftool net; else please report it",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use limiter_common::verdict::RuleCounters;

    use super::*;

    /// What a program makes of a SYN that counts this.
    fn seen(verdict: u32, passed: u64, allowed: u64, refused: Option<Reason>) -> Seen {
        let mut counted = RuleCounters { passed, allowed, ..RuleCounters::default() };
        if let Some(reason) = refused {
            counted.refused[reason as usize] = 1;
        }
        Seen { verdict, counted }
    }

    #[test]
    fn a_program_that_does_anything_else_proves_nothing() {
        const XDP_TX: u32 = 3;
        let over = Some(Reason::Total);
        for (syn, seen, right) in [
            (Syn::Within, seen(XDP_PASS, 1, 0, None), true),
            (Syn::Over, seen(XDP_DROP, 0, 0, over), true),
            (Syn::Within, seen(XDP_DROP, 0, 0, over), false),
            (Syn::Over, seen(XDP_PASS, 1, 0, None), false),
            (Syn::Over, seen(XDP_PASS, 0, 0, over), false),
            (Syn::Over, seen(XDP_TX, 0, 0, over), false),
            (Syn::Within, seen(XDP_PASS, 0, 0, None), false),
            (Syn::Over, seen(XDP_DROP, 0, 0, None), false),
            (Syn::Over, seen(XDP_PASS, 0, 1, None), true),
            (Syn::Within, seen(XDP_DROP, 0, 0, Some(Reason::Denied)), true),
        ] {
            assert_eq!(is_right(syn, &seen), right, "{syn:?} {seen:?}");
        }
    }

    #[test]
    fn a_process_must_be_told_what_is_configured_and_be_counted() {
        let call = Call::Connect(Ipv4Addr::new(192, 0, 2, 255).into());
        let told = |told| Outcome::Told(told);
        let refused = told(Err(Errno::EDQUOT));
        for (monitor, counted, outcomes, right) in [
            (false, 2, [refused, refused], true),
            (false, 2, [refused, told(Ok(()))], false),
            (false, 2, [refused, told(Err(Errno::EPERM))], false),
            (false, 1, [refused, refused], false),
            (false, 1, [refused, Outcome::NoSocket(Errno::EAFNOSUPPORT)], true),
            (true, 2, [told(Ok(())), told(Err(Errno::EINPROGRESS))], true),
            (true, 1, [told(Ok(())), told(Ok(()))], false),
        ] {
            let trial = Trial { errno: Errno::EDQUOT, monitor, counted };
            assert_eq!(
                trial.judge(&[call, call], &outcomes).is_ok(),
                right,
                "{monitor} {counted} {outcomes:?}"
            );
        }
    }
}
