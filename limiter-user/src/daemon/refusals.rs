//! Refusals that the kernel reports, on their way to who follows events.

#![expect(unsafe_code, reason = "waits for a descriptor")]

use anyhow::Context as _;
use aya::maps::{MapData, RingBuf};
use limiter_common::name::NameId;
use limiter_common::outbound::{Kind, Subject};
use limiter_common::report::Report;
use limiter_common::verdict::Reason;
use tokio::io::unix::AsyncFd;

use crate::bpf::outbound::{ip, text};
use crate::bpf::reports::{SourceStates, reports};
use crate::bpf::{HostTables, Pins};
use crate::events::{Direction, Event, Refusal, What, tell};
use crate::state::State;

/// The ring buffer, and what its reports are put into words with.
pub struct Refusals {
    ring: AsyncFd<RingBuf<MapData>>,
    sources: SourceStates,
}

impl Refusals {
    /// Opens what is pinned.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        // SAFETY: the ring buffer has one descriptor, the same from here until it is dropped, and then closed by it.
        let ring = unsafe { AsyncFd::register(reports(pins)?) };
        Ok(Self {
            ring: ring.context("cannot wait for reports from the kernel")?,
            sources: SourceStates::pinned(pins)?,
        })
    }

    /// The next report. Where this is dropped before it is done, none is lost.
    ///
    /// # Errors
    ///
    /// Where nothing can be waited for.
    pub async fn next(&mut self) -> anyhow::Result<Report> {
        loop {
            let mut ready =
                self.ring.readable_mut().await.context("cannot wait for reports from the kernel")?;
            match ready.get_inner_mut().next().map(|item| Report::read(&item)) {
                Some(Some(report)) => return Ok(report),
                Some(None) => {}
                None => ready.clear_ready(),
            }
        }
    }

    /// Tells of a report. What cannot be looked up is told by its number.
    pub fn tell(&self, report: &Report, state: &State, outbound: Option<&HostTables>) {
        let Some(reason) = report.why() else { return };
        let direction = if report.has(Report::OUTBOUND) { Direction::Outbound } else { Direction::Inbound };
        let refusal = Refusal {
            direction,
            rule: rule(report, state).unwrap_or_else(|| format!("#{}", report.rule)),
            reason: reason.as_str().into(),
            address: ip(&report.address),
            port: u16::try_from(report.port).ok().filter(|port| *port != 0),
            source: source(report, state),
            host: NameId::from_bits(report.name).map(|id| host(id, outbound)),
            monitor: report.has(Report::MONITOR),
            retry_after_ms: match direction {
                Direction::Inbound => self.source_retry(report, reason),
                Direction::Outbound => outbound.and_then(|tables| host_retry(report, reason, tables)),
            },
        };
        tell(&Event::at(report.time, What::Refusal(refusal)));
    }

    fn source_retry(&self, report: &Report, reason: Reason) -> Option<u64> {
        if !matches!(reason, Reason::Rate | Reason::Backoff) {
            return None;
        }
        let (limit, state) = self.sources.of(report).ok()??;
        Some(milliseconds(limit.retry_after(state, report.time)))
    }
}

fn host_retry(report: &Report, reason: Reason, tables: &HostTables) -> Option<u64> {
    let kind = match reason {
        Reason::Rate | Reason::Backoff | Reason::PerIp => Kind::Rate,
        Reason::Lookups => Kind::Lookups,
        Reason::Packets => Kind::Packets,
        Reason::Bytes => Kind::Bytes,
        Reason::Total | Reason::Contention | Reason::Open | Reason::Denied | Reason::Strangers => {
            return None;
        }
    };
    let subject = match NameId::from_bits(report.name) {
        Some(id) => Subject::name(id),
        None => Subject::address(report.rule, &report.address),
    };
    let rule = tables.rule(report.rule).ok()?;
    let state = tables.state(&rule, &subject, kind, report.time).ok()??;
    Some(milliseconds(rule.limit(kind).retry_after(state, report.time)))
}

const fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(1_000_000)
}

fn rule(report: &Report, state: &State) -> Option<String> {
    if report.has(Report::OUTBOUND) {
        Some(state.outbound.as_ref()?.rule(report.rule)?.called())
    } else {
        Some(state.rule(report.rule)?.name.clone())
    }
}

/// The prefix that is charged.
fn source(report: &Report, state: &State) -> Option<String> {
    if report.has(Report::OUTBOUND) {
        return None;
    }
    let prefix = state.rule(report.rule)?.source_prefix;
    let (length, mapped) = if report.address.is_v6() { (prefix.v6, 0) } else { (prefix.v4, 96) };
    Some(format!("{}/{length}", ip(&report.address.prefix(u32::from(length) + mapped))))
}

fn host(id: NameId, tables: Option<&HostTables>) -> String {
    match tables.and_then(|tables| tables.host(id).ok().flatten()) {
        Some(host) => text(&host),
        None => format!("#{:012x}", id.bits() & 0xffff_ffff_ffff),
    }
}
