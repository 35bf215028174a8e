//! iptables' recent: two rules that are one limit.
//!
//! What a pair does, from `net/netfilter/xt_recent.c`: `--set` notes a packet. `--rcheck` and `--update` match where so many
//! are noted within so many seconds, and `--update` then notes this one as well. With a hit count of 4, attempts in a
//! row came out like this on Linux 6.18:
//!
//! | first, then | a burst | and whoever goes on |
//! | --- | --- | --- |
//! | `--set`, `--update` | 3 pass | is refused until it pauses |
//! | `--set`, `--rcheck` | 3 pass | is refused until it pauses, since refused packets are noted first |
//! | `--update`, `--set` | 4 pass | is refused until it pauses |
//! | `--rcheck`, `--set` | 4 pass | gets 4 in each time |

use crate::failure::Failure;

use super::fold::{Amount, refuses};
use super::pace::Pace;
use super::rule::{Act, Limiter, Recent, Rule, Verdict};

/// The limit that two rules are, and whether it resets.
///
/// # Errors
///
/// Where the second is not the other half.
pub fn pair(
    rule: &Rule,
    first: &Recent,
    next: Option<&Rule>,
    notes: &mut Vec<String>,
) -> Result<(Amount, bool), Failure> {
    let cure = "write two rules, one behind the other, with the same matches and the same --name: \
                -m recent --set, and -m recent --update --seconds 60 --hitcount 4 -j DROP";
    let lonely =
        || Failure::new("it is one half of a pair of recent, and the other half is not next to it", cure);
    let next = next.ok_or_else(lonely)?;
    let Some(Limiter::Recent(second)) = &next.limiter else { return Err(lonely()) };
    if (&first.name, first.prefix) != (&second.name, second.prefix) {
        return Err(lonely());
    }
    // Noted first, an attempt counts itself.
    let (setting, refusing, check, noted_first) = match (first.act, second.act) {
        (Act::Set, check @ Act::Check { .. }) => (rule, next, check, true),
        (check @ Act::Check { .. }, Act::Set) => (next, rule, check, false),
        _ => return Err(lonely()),
    };
    let Act::Check { seconds, hits, update } = check else { return Err(lonely()) };
    match setting.verdict {
        Verdict::Next => {}
        Verdict::Accept if !noted_first => {
            notes.push(
                "the pair also accepts: where the chain refuses by itself, keep a rule that accepts".into(),
            );
        }
        _ => return Err(Failure::new("the rule with --set ends the chain", "leave its -j out")),
    }
    let count = if noted_first { hits - 1 } else { hits };
    if count == 0 {
        return Err(Failure::new(
            "it lets nothing pass: --set notes each attempt before it is counted",
            "write the rule with --update first, or a higher --hitcount",
        ));
    }
    let goes_on = noted_first || update;
    notes.push(format!(
        "recent counts the last {seconds} s; here {count} are free, and come back one by one in {seconds} s"
    ));
    if goes_on {
        notes.push(format!(
            "recent refuses whoever goes on until he pauses; here he is refused for {seconds} s, and asked again"
        ));
    }
    let pace = Pace { count, seconds, burst: count };
    let backoff = goes_on.then_some(seconds);
    Ok((Amount::Rate { pace, prefix: first.prefix, backoff }, refuses(refusing.verdict)?))
}
