//! Puts limits in force: programs on interfaces and cgroups, in the place of those that are there already, or beside nothing.
//!
//! A configuration and the programs that read it come together, and a link's program is exchanged in one step: so each packet
//! and each call is judged by the old configuration or by the new one, and there is none that nobody judges. What is
//! counted, held and learned stays where it is, under numbers that rules keep.

use std::collections::BTreeSet;
use std::mem;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use anyhow::Context as _;
use aya::maps::MapData;
use aya::programs::links::FdLink;
use limiter_common::rule::Action;

use super::plan::action;
pub use super::plan::{Plan, plan};
use super::proof::{Claim, Extent};
use super::{Order, lists};
use crate::bpf::cgroup::ON_CGROUPS;
use crate::bpf::{
    self, Attached, HostTables, INBOUND, Link, Mode, Pins, Programs, XdpMode, cgroup_link, interface_link,
    open::COUNT_OPEN,
};
use crate::cgroup::Cgroup;
use crate::interface::Interface;
use crate::policy::{Entries, Policy};
use crate::state::{AttachedInterface, ListsState, State};

/// Limits in force.
pub struct Enforced {
    /// Their programs.
    pub programs: Programs,
    /// Their rules, as the kernel has them.
    pub entries: Entries,
    /// The same in words, and where they are.
    pub state: State,
}

/// Puts what is planned in force.
///
/// # Errors
///
/// Whatever keeps the limits from holding. Then everything is as it was before.
pub fn enforce(order: &Order, plan: Plan, pins: &Pins, before: Option<&State>) -> anyhow::Result<Enforced> {
    let Plan { entries, cgroups, interfaces, mut state } = plan;
    pins.create()?;
    let mut programs = Programs::load_pinned(&entries, order.max_sources, pins)?;
    let numbering = before.map(|before| before.numbering.clone()).unwrap_or_default();
    bpf::reset_numbers(pins, &entries.numbering, &numbering)?;

    let mut change = Change::begin(pins, before)?;
    // Written before anything is exchanged: whoever is killed here leaves the numbers that the new programs count under.
    state.interfaces = before.map(|before| before.interfaces.clone()).unwrap_or_default();
    let waiting = mem::take(&mut state.waiting);
    state.save()?;
    pins.pin_maps(programs.maps())?;
    change.lists(&state.lists)?;
    change.cgroups(&mut programs, &cgroups, &order.policy)?;
    change.count_open(&mut programs, &entries)?;
    state.interfaces = change.interfaces(&mut programs, &interfaces, order)?;
    state.waiting = waiting;
    state.proof = Some(Claim { entries: &entries, state: &state }.prove(&mut programs, pins, Extent::All)?);
    state.save()?;
    // From here on all of it holds, and what is left to do can be done by hand.
    if let Err(error) = change.commit().and_then(|()| follow(pins, before, &entries)) {
        eprintln!("limiterctl: the limits are in force, but not all that was before is put away: {error:#}");
    }
    Ok(Enforced { programs, entries, state })
}

/// Has names that were learned before follow to the rules that list them now.
fn follow(pins: &Pins, before: Option<&State>, entries: &Entries) -> anyhow::Result<()> {
    match (before, &entries.outbound) {
        (Some(_), Some(outbound)) => HostTables::pinned(pins)?.follow(outbound),
        _ => Ok(()),
    }
}

/// Exchanges links one by one. Dropped before [`Self::commit`], it puts back what was there.
struct Change<'a> {
    pins: &'a Pins,
    before: Option<&'a State>,
    configuration: Vec<(&'static str, MapData)>,
    /// What is listed now, once it is.
    lists: Option<ListsState>,
    /// Links with another program, and the one they had.
    replaced: Vec<(Link, OwnedFd)>,
    /// Links that were not there.
    attached: Vec<String>,
    /// All that are to be there.
    wanted: BTreeSet<String>,
    is_done: bool,
}

impl<'a> Change<'a> {
    fn begin(pins: &'a Pins, before: Option<&'a State>) -> anyhow::Result<Self> {
        Ok(Self {
            pins,
            before,
            configuration: pins.configuration()?,
            lists: None,
            replaced: Vec::new(),
            attached: Vec::new(),
            wanted: BTreeSet::new(),
            is_done: false,
        })
    }

    /// Puts a program behind the link with this name, if there is one on this target; says whether there was.
    fn replace(
        &mut self,
        name: &str,
        target: u64,
        programs: &Programs,
        program: &str,
    ) -> anyhow::Result<bool> {
        self.wanted.insert(name.to_owned());
        let Some(link) = self.pins.link(name)?.filter(|link| link.target == target) else { return Ok(false) };
        let old = link
            .replace(programs.fd(program)?)
            .with_context(|| format!("cannot exchange the program of link {name}"))?;
        self.replaced.push((link, old));
        Ok(true)
    }

    fn attach(&mut self, name: &str, link: FdLink) -> anyhow::Result<()> {
        self.pins.pin_link(name, link)?;
        self.attached.push(name.to_owned());
        Ok(())
    }

    fn lists(&mut self, now: &ListsState) -> anyhow::Result<()> {
        self.lists = Some(now.clone());
        lists::change(self.pins, &self.listed_before(), now)
    }

    fn listed_before(&self) -> ListsState {
        self.before.map(|before| before.lists.clone()).unwrap_or_default()
    }

    fn cgroups(
        &mut self,
        programs: &mut Programs,
        cgroups: &[Cgroup],
        policy: &Policy,
    ) -> anyhow::Result<()> {
        if policy.outbound.is_none() {
            return Ok(());
        }
        for cgroup in cgroups {
            for program in ON_CGROUPS {
                let name = cgroup_link(cgroup.id, program);
                if !self.replace(&name, cgroup.id, programs, program)? {
                    let link = programs
                        .attach_one_to_cgroup(program, &cgroup.open()?)
                        .with_context(|| format!("cannot limit cgroup {}", cgroup.name))?;
                    self.attach(&name, link)?;
                }
            }
        }
        Ok(())
    }

    fn count_open(&mut self, programs: &mut Programs, entries: &Entries) -> anyhow::Result<()> {
        if !entries.watch_handshakes() {
            return Ok(());
        }
        let root = Cgroup::open_root()?;
        if !self.replace(COUNT_OPEN, root.metadata()?.ino(), programs, COUNT_OPEN)? {
            let link = programs.attach_count_open(&root)?;
            self.attach(COUNT_OPEN, link)?;
        }
        Ok(())
    }

    fn interfaces(
        &mut self,
        programs: &mut Programs,
        interfaces: &[Interface],
        order: &Order,
    ) -> anyhow::Result<Vec<AttachedInterface>> {
        let action = action(&order.policy);
        let mut attached = Vec::with_capacity(interfaces.len());
        for interface in interfaces {
            let name = interface_link(interface.index);
            let before = self.before.and_then(|before| before.interface(interface.index)).cloned();
            let fits = before
                .as_ref()
                .is_some_and(|before| mode_fits(before.xdp_mode, interface, order.mode, action));
            if fits && self.replace(&name, interface.index.into(), programs, INBOUND)? {
                attached.extend(
                    before.map(|before| AttachedInterface { name: interface.name.clone(), ..before }),
                );
                continue;
            }
            self.wanted.insert(name.clone());
            if self.pins.link(&name)?.is_some() {
                eprintln!(
                    "limiterctl: {} changes its XDP mode: for a moment nothing is limited there",
                    interface.name
                );
            }
            self.pins.detach(&name)?;
            let free = Interface { xdp_program: None, ..interface.clone() };
            let Attached { link, mode, why_generic } =
                bpf::attach(programs.inbound(), &free, order.mode, action)?;
            self.attach(&name, link)?;
            attached.push(AttachedInterface {
                name: interface.name.clone(),
                index: interface.index,
                xdp_mode: mode,
                why_generic,
                again: None,
            });
        }
        Ok(attached)
    }

    /// Takes off what is not wanted any more; from here on there is no way back.
    fn commit(mut self) -> anyhow::Result<()> {
        self.is_done = true;
        for name in self.pins.links()?.iter().filter(|name| !self.wanted.contains(*name)) {
            self.pins.detach(name)?;
        }
        Ok(())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        for (link, old) in &self.replaced {
            if let Err(error) = link.replace(old.as_fd()) {
                eprintln!("limiterctl: cannot put a program back: {error}");
            }
        }
        let put_back = || {
            self.attached.iter().try_for_each(|name| self.pins.detach(name))?;
            for (name, map) in &self.configuration {
                self.pins.replace_map(name, |path| map.pin(path))?;
            }
            if let Some(now) = &self.lists {
                lists::change(self.pins, now, &self.listed_before())?;
            }
            self.before.map_or(Ok(()), State::save)
        };
        if let Err(error) = put_back() {
            eprintln!("limiterctl: cannot put everything back: {error:#}");
        }
    }
}

/// Whether a program may stay in the mode that it has.
fn mode_fits(is: XdpMode, interface: &Interface, wanted: Mode, action: Action) -> bool {
    match (wanted, is) {
        (Mode::Native, XdpMode::Native) | (Mode::Generic | Mode::Auto, XdpMode::Generic) => true,
        (Mode::Auto, XdpMode::Native) => !bpf::vanishes(interface, action),
        (Mode::Native, XdpMode::Generic) | (Mode::Generic, XdpMode::Native) => false,
    }
}
