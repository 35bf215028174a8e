//! Rules, in the order of their chain, into limits: alone, or two that are one limit only together.

use crate::config::network::Network;
use crate::failure::Failure;

use super::pace::Pace;
use super::recent;
use super::rule::{Hook, Limiter, Matches, PortRanges, Rule, Sources, Syn, Verdict};

/// The cure where a limit is not for new connections alone.
const ADD_SYN: &str = "add --syn to an iptables rule, tcp flags & (fin|syn|rst|ack) == syn to one of nft";

/// What one limit, of one rule or of a pair, is in the words of `attach`.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The rule that it comes from.
    pub place: String,
    /// What it holds for.
    pub matches: Matches,
    /// The ports.
    pub ports: PortRanges,
    /// Who passes it.
    pub allowed: Vec<Network>,
    /// Whether it resets, or drops.
    pub resets: bool,
    /// Whether it looks at what is forwarded as well.
    pub forwards: bool,
    /// How much.
    pub amount: Amount,
    /// Where it is not quite the same.
    pub notes: Vec<String>,
}

/// How much a limit lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// New connections of one source.
    Rate {
        /// How many in what time.
        pace: Pace,
        /// Bits that make one source.
        prefix: u8,
        /// Seconds for which a source is refused after that.
        backoff: Option<u64>,
    },
    /// New connections of all.
    Total(Pace),
    /// Open connections of one source.
    Open {
        /// How many.
        count: u64,
        /// Bits that make one source.
        prefix: u8,
    },
}

/// What came of a rule.
#[derive(Debug, Clone)]
pub enum Fate {
    /// A limit of its own.
    Limit(Box<Limit>),
    /// It is part of another one's limit.
    Part,
    /// It limits nothing.
    Idle,
    /// It has no equal.
    NoEqual(Failure),
}

/// What comes of each rule of one chain, in the same order.
pub fn fold(rules: &[&Rule]) -> Vec<Fate> {
    let mut fates: Vec<Fate> = rules.iter().map(|_| Fate::Idle).collect();
    for at in 0..rules.len() {
        if matches!(fates[at], Fate::Part) || !rules[at].limits {
            continue;
        }
        let (before, rest) = (&rules[..at], &rules[at..]);
        fates[at] = match limit(before, rest) {
            Ok((limit, allowing, is_pair)) => {
                for &place in &allowing {
                    fates[place] = Fate::Part;
                }
                if is_pair {
                    fates[at + 1] = Fate::Part;
                }
                Fate::Limit(Box::new(limit))
            }
            Err(failure) => Fate::NoEqual(failure),
        };
    }
    fates
}

/// The limit that begins with the first of `rest`, which rules before it exempt from it, and whether it takes two.
fn limit(before: &[&Rule], rest: &[&Rule]) -> Result<(Limit, Vec<usize>, bool), Failure> {
    let rule = rest[0];
    if let Some(refusal) = &rule.refusal {
        return Err(refusal.clone());
    }
    check_hook(rule.chain.hook)?;
    let matches = &rule.matches;
    let mut notes = rule.notes.clone();
    let ports = check_matches(matches, &mut notes)?;
    let mut allowed = match &matches.sources {
        Sources::All => Vec::new(),
        Sources::Except(networks) => networks.clone(),
        Sources::Only(_) => {
            return Err(Failure::new(
                "it limits some sources only, and attach limits all but those that are allowed",
                "write whom it does not hold for: ! -s 10.0.0.0/8, or in nft ip saddr != 10.0.0.0/8",
            ));
        }
    };
    let (amount, resets, is_pair) = amount(rest, &ports, &mut notes)?;
    let mut allowing = Vec::new();
    for (place, earlier) in before.iter().enumerate() {
        if let Some(networks) = exemption(earlier, matches)? {
            allowed.extend(networks);
            allowing.push(place);
        }
    }
    allowed.sort_unstable();
    allowed.dedup();
    let forwards = rule.chain.hook == Hook::Prerouting;
    let limit = Limit {
        place: rule.place.clone(),
        matches: matches.clone(),
        ports,
        allowed,
        resets,
        forwards,
        amount,
        notes,
    };
    Ok((limit, allowing, is_pair))
}

fn check_hook(hook: Hook) -> Result<(), Failure> {
    match hook {
        Hook::Input | Hook::Prerouting => Ok(()),
        Hook::Forward => Err(Failure::new(
            "it limits what is forwarded, and attach all that arrives",
            "keep this rule where it is; what arrives for this machine goes through chain INPUT",
        )),
        Hook::Output => Err(Failure::new(
            "it limits what leaves, which has no equal by address and port",
            "limit a service by the names that it connects to: limiterctl attach --cgroup shop.service",
        )),
        Hook::Unknown => Err(Failure::new(
            "its chain gets what another rule sends there, which this one does not say",
            "write the rule as one of chain INPUT or PREROUTING, with all that leads to it",
        )),
    }
}

/// Makes sure that the rule is for the first packets of TCP connections, and for all of them.
fn check_matches(matches: &Matches, notes: &mut Vec<String>) -> Result<PortRanges, Failure> {
    if matches.tcp == Some(false) || matches.tcp.is_none() {
        return Err(Failure::new(
            "it is not for TCP alone, and limiterctl limits TCP connections alone",
            "add -p tcp to an iptables rule, tcp dport 80 or meta l4proto tcp to one of nft",
        ));
    }
    let is_new = matches.states.as_ref().is_some_and(|states| states == &["new"]);
    match (matches.syn, is_new) {
        (_, false) if matches.states.is_some() => {
            return Err(Failure::new("its states are not NEW alone", "write NEW, and no other state"));
        }
        (Some(Syn::Never), _) => {
            return Err(Failure::new("it limits what begins no connection", ADD_SYN));
        }
        (Some(Syn::Alone), _) => notes.push("SYNs with the flags of ECN are counted as well".into()),
        (Some(Syn::Plain), _) => {}
        (None, true) => notes.push(
            "NEW is also a packet in the middle of a connection that conntrack does not know; here a SYN is"
                .into(),
        ),
        (None, false) => {
            return Err(Failure::new(
                "it holds for every packet, and so ends connections that are open; limiterctl never does",
                ADD_SYN,
            ));
        }
    }
    Ok(matches.ports.clone().unwrap_or_else(PortRanges::all))
}

/// How much passes, whether what is over it gets a reset, and whether the second rule belongs to the first.
fn amount(
    rest: &[&Rule],
    ports: &PortRanges,
    notes: &mut Vec<String>,
) -> Result<(Amount, bool, bool), Failure> {
    let rule = rest[0];
    let next = rest.get(1).copied().filter(|next| next.refusal.is_none() && next.matches == rule.matches);
    let limiter = rule.limiter.clone().ok_or_else(|| {
        Failure::new("its limit is not understood", "write it as one rule that iptables or nft would take")
    })?;
    let (amount, above) = match limiter {
        Limiter::Recent(first) => {
            let (amount, resets) = recent::pair(rule, &first, next, notes)?;
            return Ok((amount, resets, true));
        }
        Limiter::Open { count, prefix, above } => (Amount::Open { count, prefix }, above),
        Limiter::Rate { per_port: true, .. } if !ports.is_one() => {
            return Err(Failure::new(
                "each of its ports counts by itself, and attach counts all ports together",
                "write one port, or leave the port out of what it counts by",
            ));
        }
        Limiter::Rate { pace, prefix: Some(prefix), above, .. } => {
            (Amount::Rate { pace, prefix, backoff: None }, above)
        }
        Limiter::Rate { pace, prefix: None, above, .. } => (Amount::Total(pace), above),
    };
    if let Amount::Open { count: 0, .. } = amount {
        return Err(Failure::new(
            "it lets nothing pass",
            "refuse with: limiterctl deny, or with the firewall",
        ));
    }
    if above {
        return Ok((amount, refuses(rule.verdict)?, false));
    }
    if rule.verdict != Verdict::Accept {
        return Err(Failure::new(
            "it matches what is within its limit, and accepts nothing of that",
            "match what is above the limit: --connlimit-above, --hashlimit-above, limit rate over",
        ));
    }
    let refusing = next.filter(|next| !next.limits && refuses(next.verdict).is_ok()).ok_or_else(|| {
        Failure::new(
            "it accepts what is within its limit, and no rule behind it refuses the rest",
            "write behind it the same rule without the limit, with -j DROP or -j REJECT --reject-with tcp-reset",
        )
    })?;
    notes.push("the pair also accepts: where the chain refuses by itself, keep a rule that accepts".into());
    Ok((amount, refuses(refusing.verdict)?, true))
}

/// Whether a verdict resets, or drops.
pub fn refuses(verdict: Verdict) -> Result<bool, Failure> {
    match verdict {
        Verdict::Reset => Ok(true),
        Verdict::Drop => Ok(false),
        _ => Err(Failure::new(
            "what is over its limit is not refused",
            "say -j REJECT --reject-with tcp-reset or -j DROP, in nft reject with tcp reset or drop",
        )),
    }
}

/// Which sources an earlier rule keeps from the limit.
///
/// # Errors
///
/// Where it may keep others from it.
fn exemption(earlier: &Rule, matches: &Matches) -> Result<Option<Vec<Network>>, Failure> {
    if !earlier.verdict.may_accept() || !earlier.matches.may_take_from(matches) {
        return Ok(None);
    }
    match &earlier.matches.sources {
        Sources::Only(networks)
            if earlier.verdict == Verdict::Accept
                && earlier.refusal.is_none()
                && !earlier.limits
                && earlier.matches.takes_all_from(matches) =>
        {
            Ok(Some(networks.clone()))
        }
        _ => Err(Failure::new(
            format!("{} stands before it and may accept what it limits", earlier.place),
            "put the limit first; or translate it by itself, if what the other accepts may be limited as well",
        )),
    }
}
