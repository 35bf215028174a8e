//! One of those that are charged for a destination: a name, a network, the address itself.

use limiter_common::name::NameId;
use limiter_common::outbound::{self, Kind, Opinion, Pass, SHARED_TAG, Settings, Subject};
use limiter_common::sources::WAYS;
use limiter_common::verdict::Reason;

use crate::atomics::Word;
use crate::boundary::Set;
use crate::boundary::outbound as boundary;
use crate::tables::outbound as tables;

/// Asks or charges one subject: `None` where it has nothing against it.
#[inline(always)]
pub fn weigh(subject: Subject, kind: Kind, amount: u64, pass: Pass, now: u64) -> Option<Reason> {
    let (settings, rule) = (tables::settings()?, tables::host_rule(subject.rule)?);
    let (rate, limit) = (rule.limit(Kind::Rate), rule.limit(kind));
    let is_rate = matches!(kind, Kind::Rate);
    if limit.is_none() && !(is_rate && rate.backoff != 0) {
        return None;
    }
    // A back-off cuts off what is sent as well, but not queries: who asks again is to be told why at connect().
    let pauses = !is_rate && rate.backoff != 0;
    if pauses && !matches!(kind, Kind::Lookups) {
        let (cells, tag) = state(settings, rule.shared, &subject, Kind::Rate)?;
        if outbound::is_backing_off(rate, &Set(cells), tag, now) {
            return Some(Reason::Backoff);
        }
    }
    let (cells, tag) = state(settings, rule.shared, &subject, kind)?;
    let cost = outbound::cost(limit, kind, amount);
    match boundary::weigh_state(limit, cells, tag, now, cost, pass) {
        Opinion::Admit => None,
        Opinion::BackingOff => Some(Reason::Backoff),
        Opinion::Contention => Some(Reason::Contention),
        Opinion::Over => {
            if pauses {
                let (cells, tag) = state(settings, rule.shared, &subject, Kind::Rate)?;
                outbound::back_off(rate, &Set(cells), tag, now);
            }
            Some(kind.reason(subject.rule))
        }
    }
}

/// Where the state of a subject lies.
#[inline(always)]
fn state(
    settings: &Settings,
    shared: u32,
    subject: &Subject,
    kind: Kind,
) -> Option<(&'static [Word; WAYS], u16)> {
    if shared != 0 {
        return Some((tables::shared_states(subject.shared_set(kind))?, SHARED_TAG));
    }
    let place = subject.place(&settings.places, kind);
    Some((tables::states(place.set(settings.set_mask))?, place.tag()))
}

/// Counts a refusal with the name that is responsible.
#[inline(always)]
pub fn count_refused(id: NameId) {
    if let Some(host) = tables::host(id) {
        host.refused.increment();
    }
}

/// Counts a connection with a name that admitted it.
#[inline(always)]
pub fn count_allowed(id: NameId) {
    if let Some(host) = tables::host(id) {
        host.allowed.increment();
    }
    tables::count_host(id.rule(), |counters| counters.allowed += 1);
}
