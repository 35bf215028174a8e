//! The line that a terminal shows while limits are attached.

use std::fmt::Display;
use std::io::{self, IsTerminal as _};

use aya::maps::MapData;
use limiter_common::verdict::Reason;

use crate::bpf::{HostTables, Tables};
use crate::state::State;

/// Says something below what a terminal shows already: the line that is shown anew each second gives way.
pub fn say(news: impl Display) {
    let clear = if io::stdout().is_terminal() { "\r\x1b[K" } else { "" };
    println!("{clear}limiterctl: {news}");
}

/// The counters of all rules together.
#[derive(Debug, Default)]
pub struct Sum {
    passed: u64,
    refused: [u64; Reason::ALL.len()],
    /// Only where interfaces are limited.
    sources: Option<u64>,
}

pub fn sum(inbound: &Tables<MapData>, outbound: Option<&HostTables>, state: &State) -> anyhow::Result<Sum> {
    let mut sum = Sum::default();
    for rule in &state.rules {
        let rule = inbound.rule(rule.number)?;
        sum.passed += rule.passed;
        sum.sources = Some(sum.sources.unwrap_or(0) + rule.sources);
        for reason in Reason::INBOUND {
            sum.refused[reason as usize] += rule.refused[reason as usize];
        }
    }
    if let Some(outbound) = outbound {
        for rule in state.outbound.iter().flat_map(|outbound| &outbound.rules) {
            let rule = outbound.counters(rule.number)?;
            sum.passed += rule.allowed;
            for reason in Reason::ALL {
                sum.refused[reason as usize] += rule.refused[reason as usize];
            }
        }
    }
    Ok(sum)
}

/// `passed 1200 (15/s)  refused 34 (2/s): rate 30, total 4  sources 12`, in less than 80 columns for years.
pub fn line(now: &Sum, before: Option<&Sum>) -> String {
    let refused = |totals: &Sum| totals.refused.iter().sum::<u64>();
    let (last_passed, last_refused) =
        before.map_or((now.passed, refused(now)), |last| (last.passed, refused(last)));
    let reasons: Vec<_> = Reason::ALL
        .into_iter()
        .filter(|&reason| now.refused[reason as usize] > 0)
        .map(|reason| format!("{} {}", reason.as_str(), now.refused[reason as usize]))
        .collect();
    format!(
        "passed {} ({}/s)  refused {} ({}/s){}{}{}",
        now.passed,
        now.passed - last_passed,
        refused(now),
        refused(now) - last_refused,
        if reasons.is_empty() { "" } else { ": " },
        reasons.join(", "),
        now.sources.map(|sources| format!("  sources {sources}")).unwrap_or_default(),
    )
}
