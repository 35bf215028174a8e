//! What is to be done: which rules, and where of what is there now.

use limiter_common::rule::Action;

use super::{Order, lists, words};
use crate::bpf::{self, Pins, XdpMode, interface_link};
use crate::cgroup::Cgroup;
use crate::interface::{self, Interface};
use crate::policy::{Entries, Policy};
use crate::state::{AttachedCgroup, AttachedInterface, OutboundState, RuleState, State, Wanted};

/// What is to be put in force, and where.
pub struct Plan {
    /// The rules, as the kernel will have them.
    pub entries: Entries,
    /// Those that are there.
    pub cgroups: Vec<Cgroup>,
    /// The same.
    pub interfaces: Vec<Interface>,
    /// The same in words, with the interfaces as they are to be.
    pub state: State,
}

/// Finds out what is to be done. `before` is what is in force now, or was when its daemon was killed.
///
/// # Errors
///
/// What is ordered cannot be held; interfaces and cgroups that are taken, or not there and not to be waited for. Nothing is
/// changed.
pub async fn plan(order: &Order, pins: &Pins, before: Option<&State>) -> anyhow::Result<Plan> {
    let numbering = before.map(|before| before.numbering.clone()).unwrap_or_default();
    let entries = order.policy.entries_after(&numbering)?;
    let (cgroups, missing) = if order.waits.cgroups {
        Cgroup::present(&order.cgroups)?
    } else {
        (Cgroup::all(&order.cgroups)?, Vec::new())
    };
    let mut waiting: Vec<_> =
        missing.into_iter().map(|(name, failure)| words::waiting_for_cgroup(&name, failure.cause)).collect();
    let all = interface::all().await?;
    if !order.waits.interfaces {
        interface::must_be_there(&order.interfaces, &all)?;
    }
    let (interfaces, missing) = interface::wanted(&order.interfaces, &all);
    waiting.extend(missing.into_iter().map(|name| words::waiting_for_interface(name)));
    for interface in &interfaces {
        if let Some(id) = interface.xdp_program
            && pins.link(&interface_link(interface.index))?.is_none()
        {
            return Err(bpf::other_program(interface, id).into());
        }
    }
    let attached = |interface: &Interface| AttachedInterface {
        name: interface.name.clone(),
        index: interface.index,
        xdp_mode: XdpMode::Generic,
        why_generic: None,
        again: None,
    };
    let state = State {
        interfaces: interfaces.iter().map(attached).collect(),
        rules: rules(&order.policy, &entries),
        numbering: entries.numbering.clone(),
        outbound: outbound(&order.policy, &entries, &cgroups, before),
        lists: lists::words(&order.lists),
        wanted: Wanted { interfaces: order.interfaces.clone(), cgroups: order.cgroups.clone() },
        waiting,
        app_group: order.app.as_ref().map(ToString::to_string),
        detaches_at: None,
        proof: None,
    };
    Ok(Plan { entries, cgroups, interfaces, state })
}

/// What the program on interfaces may do with a SYN.
pub fn action(policy: &Policy) -> Action {
    let answers = policy.rules.iter().any(|rule| rule.action == Action::Reset && !rule.monitor);
    if answers { Action::Reset } else { Action::Drop }
}

fn rules(policy: &Policy, entries: &Entries) -> Vec<RuleState> {
    let number = |name: &str| entries.numbering.inbound.get(name).unwrap_or_default();
    policy.rules.iter().map(|rule| RuleState::new(rule, number(&rule.name))).collect()
}

fn outbound(
    policy: &Policy,
    entries: &Entries,
    cgroups: &[Cgroup],
    before: Option<&State>,
) -> Option<OutboundState> {
    let policy = policy.outbound.as_ref()?;
    let before = before.and_then(|before| before.outbound.as_ref()).map_or(&[][..], |before| &before.cgroups);
    let attached = |cgroup: &Cgroup| AttachedCgroup {
        name: cgroup.name.clone(),
        path: cgroup.path.clone(),
        id: cgroup.id,
        again: before.iter().find(|before| before.id == cgroup.id).and_then(|before| before.again.clone()),
    };
    Some(OutboundState {
        cgroups: cgroups.iter().map(attached).collect(),
        rules: words::host_rules(policy, &entries.numbering.outbound),
        errno: policy.errno.to_string(),
        monitor: policy.monitor,
    })
}
