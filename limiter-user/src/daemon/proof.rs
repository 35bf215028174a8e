//! Proves that limits are enforced: what must be refused is tried, with the very programs that were attached.

mod cgroup;
mod inbound;

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use limiter_common::maps::MAX_RULES;
use nix::net::if_::if_nametoindex;

use crate::bpf::cgroup::ON_CGROUPS;
use crate::bpf::{INBOUND, Pins, Programs, cgroup_link, interface_link, open::COUNT_OPEN};
use crate::cgroup::Cgroup;
use crate::failure::Failure;
use crate::policy::Entries;
use crate::state::{AttachedCgroup, AttachedInterface, Proof, State};
use crate::table;

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
                Some(number) => inbound::prove(programs, number)?,
                None => untried.push("the program for interfaces: every rule number is in use".to_owned()),
            }
        }
        if let (Some(entries), Extent::All) = (&self.entries.outbound, extent) {
            for cgroup in self.cgroups() {
                untried.extend(cgroup::prove(programs, pins, entries, cgroup)?);
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

fn unproved(what: &str) -> anyhow::Error {
    Failure::new(
        format!("the limits do not hold: {what}"),
        "another BPF program may be in the way: bpftool cgroup tree, bpftool net; else please report it",
    )
    .into()
}
