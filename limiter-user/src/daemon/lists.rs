//! The prefixes that a configuration lists. What is added and removed while it holds stays as it is.

use limiter_common::lists::{EVERY_RULE, FOREVER};

use crate::bpf::Pins;
use crate::bpf::lists::{List, Listed, Lists};
use crate::config::network::Network;
use crate::state::ListsState;

/// Puts what is listed `now` on its lists, and takes off what was listed `before` and is no more.
///
/// # Errors
///
/// As the kernel says; no room.
pub fn change(pins: &Pins, before: &ListsState, now: &ListsState) -> anyhow::Result<()> {
    for (list, before, now) in
        [(List::Allow, &before.allow, &now.allow), (List::Deny, &before.deny, &now.deny)]
    {
        let (new, over) = (networks(now, &[]), networks(before, now));
        if new.is_empty() && over.is_empty() {
            continue;
        }
        let mut lists = Lists::open(pins)?;
        if !new.is_empty() {
            let listed = |&network: &Network| Listed { network, scope: EVERY_RULE, until: FOREVER };
            lists.add(list, &new.iter().map(listed).collect::<Vec<_>>())?;
        }
        lists.remove(list, EVERY_RULE, &over)?;
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

/// Those of the first that are not among the second.
fn networks(words: &[String], others: &[String]) -> Vec<Network> {
    let words = words.iter().filter(|word| !others.contains(word));
    // Each was written by `words`.
    words.filter_map(|word| word.parse().ok()).collect()
}
