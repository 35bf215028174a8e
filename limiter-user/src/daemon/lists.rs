//! The prefixes that a configuration lists. What is added and removed while it holds stays as it is.

use limiter_common::lists::{EVERY_RULE, FOREVER};

use super::Order;
use crate::bpf::Pins;
use crate::bpf::lists::{List, Listed, Lists};
use crate::config::network::Network;
use crate::state::{ListsState, State};

/// Puts what is listed on its lists, and takes off what was listed before and is no more.
///
/// # Errors
///
/// As the kernel says; no room.
pub fn change(order: &Order, pins: &Pins, before: Option<&State>) -> anyhow::Result<()> {
    for (list, networks) in &order.lists {
        let listed = before.map(|before| of(&before.lists, *list)).unwrap_or_default();
        let listed = listed.iter().filter_map(|network| network.parse::<Network>().ok());
        let over: Vec<_> = listed.filter(|network| !networks.contains(network)).collect();
        if networks.is_empty() && over.is_empty() {
            continue;
        }
        let mut lists = Lists::open(pins)?;
        if !networks.is_empty() {
            let new: Vec<_> = networks
                .iter()
                .map(|&network| Listed { network, scope: EVERY_RULE, until: FOREVER })
                .collect();
            lists.add(*list, &new)?;
        }
        lists.remove(*list, EVERY_RULE, &over)?;
    }
    Ok(())
}

/// The same in words.
pub fn words(lists: &[(List, Vec<Network>)]) -> ListsState {
    let on = |wanted| {
        let lists = lists.iter().filter(|(list, _)| *list == wanted);
        lists.flat_map(|(_, networks)| networks).map(ToString::to_string).collect()
    };
    ListsState { allow: on(List::Allow), deny: on(List::Deny) }
}

fn of(lists: &ListsState, list: List) -> &[String] {
    match list {
        List::Allow => &lists.allow,
        List::Deny => &lists.deny,
    }
}
