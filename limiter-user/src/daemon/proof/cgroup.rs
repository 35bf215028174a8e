//! Tries what processes in a cgroup are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use limiter_common::outbound::{PROBE_RULE, Settings};
use limiter_common::verdict::Reason;
use nix::errno::Errno;

use super::unproved;
use crate::bpf::{HostTables, Pins, Programs};
use crate::cgroup::{Call, Outcome, attempt};
use crate::policy::OutboundEntries;
use crate::state::AttachedCgroup;

/// Tries one; says what could not be tried.
///
/// # Errors
///
/// A process was told something else than it must, or was not counted; the kernel does not let it be tried.
pub fn prove(
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

#[cfg(test)]
mod tests {
    use super::*;

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
