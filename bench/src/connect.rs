//! What a `connect()` costs, in a cgroup and a network namespace of the bench's own.
//!
//! # Layout
//!
//! - `place`: the host, the cgroup and the servers; `worker` is the process in the cgroup, `protocol` what it is told
//! - `scene`: a measurement without limiterctl, and one with it that counts
//! - `limiter`: limiterctl's programs, attached and taken off again for each measurement, and their counters
//! - `meter`, `redis`: the rivals
//! - [`clients`]: connects of a client in Rust and one in Python, as an application waits for them
//! - [`growth`]: what a connect costs as more is known

pub mod clients;
pub mod growth;
mod limiter;
mod meter;
mod place;
mod protocol;
mod redis;
mod scene;
mod worker;

use limiter_tests::net::Sandbox;
use limiter_tests::wire::pin;

use crate::measure::{Case, in_turns};
use crate::report::{Bound, Check, Section};
use place::{DNS, MANY, ONE, OTHER_CPU, Place, SPENT, Who};
use protocol::{Addresses, Job};
use redis::Server;
use scene::{Expected, Scene, allowed, asked, looked_up, one_flow, refused, unlimited};

pub use worker::run as work;

/// How often a measurement does what takes about a microsecond, about 20, and a round trip between processes.
const LOOP: u32 = 100_000;
const SINGLE: u32 = 2_000;
const REDIS: u32 = 1_000;
/// How much goes in one bulk transfer, and how many of these are one measurement.
const KIBIBYTES: u32 = 1 << 18;
const TRANSFERS: usize = 4;

const ROUTE: &str = "UDP connect to port 0, as by getaddrinfo()";
const ROUTE_LIMITED: &str = "UDP connect to port 0, as by getaddrinfo(), limiterctl";
const UDP: &str = "UDP connect";
const UDP_LIMITED: &str = "UDP connect, limiterctl";
const UDP_REDIS: &str = "UDP connect, asking Redis before";
const UDP_MANY: &str = "UDP connect, 100,000 addresses in turn";
const UDP_MANY_LIMITED: &str = "UDP connect, 100,000 addresses in turn, limiterctl";
const TCP: &str = "TCP connect";
const TCP_LIMITED: &str = "TCP connect, limiterctl";
const TCP_METER: &str = "TCP connect, nft's meter";
const TCP_REFUSED: &str = "TCP connect refused, limiterctl";
const ANSWER: &str = "DNS answer observed: CNAME, A, AAAA";
const LOOK_UP: &str = "DNS look-up end to end";
const LOOK_UP_LIMITED: &str = "DNS look-up end to end, limiterctl";
const BULK: &str = "1 KiB of a bulk transfer";
const BULK_LIMITED: &str = "1 KiB of a bulk transfer, limiterctl";
const BULK_TRAFFIC: &str = "1 KiB of a bulk transfer, limiterctl with limits on packets and bytes";

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    Sandbox::new().run(|| {
        // Servers and whatever else is started from here run beside the process that connects.
        pin(OTHER_CPU);
        measure_here(rounds)
    })
}

fn measure_here(rounds: usize) -> anyhow::Result<Section> {
    let (place, metered) = (Place::new()?, Place::new()?);
    meter::set_up(&metered.host)?;
    let redis = Server::start(&place.host).inspect_err(|why| eprintln!("  without Redis: {why}")).ok();
    let (plain, traffic) = (Scene::new(&place, "")?, Scene::new(&place, scene::TRAFFIC)?);

    let bare = |job: Job, to, times| {
        let place = &place;
        move || unlimited(place, Who::Rust, &job, to, times).map(|done| done.ns)
    };
    let limited = |scene, job: Job, to, times, expected: Expected| {
        move || Scene::measure(scene, &job, to, times, expected)
    };
    let meter = |job: Job, set, times| {
        let metered = &metered;
        move || {
            let done = unlimited(metered, Who::Rust, &job, ONE, times)?;
            meter::ensure_seen(&metered.host, set).map(|()| done.ns)
        }
    };
    let mut cases = vec![
        Case::new(ROUTE, bare(Job::AskRoute, ONE, LOOP)),
        Case::new(ROUTE_LIMITED, limited(&plain, Job::AskRoute, ONE, LOOP, asked)),
        Case::new(UDP, bare(Job::UdpConnect(None), ONE, LOOP)),
        Case::new(UDP_LIMITED, limited(&plain, Job::UdpConnect(None), ONE, LOOP, asked)),
        Case::new(UDP_MANY, bare(Job::UdpConnect(None), MANY, LOOP)),
        Case::new(UDP_MANY_LIMITED, limited(&plain, Job::UdpConnect(None), MANY, LOOP, asked)),
        Case::new(
            "UDP connect to an exempt address, limiterctl",
            limited(&plain, Job::UdpConnect(None), Addresses::one(DNS), LOOP, asked),
        ),
        Case::new(
            "UDP connect refused, limiterctl",
            limited(&plain, Job::UdpConnect(None), SPENT, LOOP, refused),
        ),
        Case::new("UDP sendto", bare(Job::UdpSend, ONE, LOOP)),
        Case::new("UDP sendto, limiterctl", limited(&plain, Job::UdpSend, ONE, LOOP, one_flow)),
        Case::new("UDP sendto, nft's meter", meter(Job::UdpSend, "udp_seen", LOOP)),
        Case::new("UDP sendto, 100,000 addresses in turn", bare(Job::UdpSend, MANY, LOOP)),
        Case::new(
            "UDP sendto, 100,000 addresses in turn, limiterctl",
            limited(&plain, Job::UdpSend, MANY, LOOP, allowed),
        ),
        Case::new(TCP, bare(Job::TcpConnect, ONE, SINGLE)),
        Case::new(TCP_LIMITED, limited(&plain, Job::TcpConnect, ONE, SINGLE, allowed)),
        Case::new(TCP_METER, meter(Job::TcpConnect, "tcp_seen", SINGLE)),
        Case::new(TCP_REFUSED, limited(&plain, Job::TcpConnect, SPENT, SINGLE, refused)),
        Case::new(ANSWER, || plain.answer()),
        Case::new(LOOK_UP, bare(Job::LookUp, Addresses::one(DNS), SINGLE)),
        Case::new(LOOK_UP_LIMITED, limited(&plain, Job::LookUp, Addresses::one(DNS), SINGLE, looked_up)),
        Case::new(BULK, fastest(bare(Job::Bulk, ONE, KIBIBYTES))),
        Case::new(BULK_LIMITED, fastest(limited(&plain, Job::Bulk, ONE, KIBIBYTES, allowed))),
        Case::new(BULK_TRAFFIC, fastest(|| traffic.bulk(KIBIBYTES))),
    ];
    if redis.is_some() {
        let job = Job::UdpConnect(Some(Server::path()));
        cases.insert(4, Case::new(UDP_REDIS, bare(job, ONE, REDIS)));
    }
    let measured = in_turns("ns", cases, rounds)?;

    let mut section = Section {
        name: "connect",
        title: "A connect, judged",
        how: "By a process in a cgroup, to addresses of its own host that are not loopback's. limiterctl knows 100,000 \
              addresses, each by one of 50,000 names, and limits that are never reached; it is attached for its own \
              measurements only. `UDP connect` is one socket connected again and again, which sends nothing: processor \
              time, its mean; port 0 is never judged, so it shows what the hook alone costs. \
              `sendto` is one socket as well, whose datagrams nobody reads. `TCP connect` is the median of calls that were \
              timed one by one, without `socket()` and `close()`, to a server of the same host. nft's meter, on the output \
              of a network namespace, holds SYNs and datagrams of each destination to a rate. Redis is asked through a \
              Unix socket by `INCR` and `EXPIRE` in one message. A look-up is that of an application: a socket, a query, \
              the answer of a server on the same host. Of four bulk transfers of 256 MiB the fastest counts.",
        measured,
        checks: Vec::new(),
        notes: Vec::new(),
        curves: Vec::new(),
    };
    targets(&mut section, redis.is_some());
    Ok(section)
}

/// The least of some: a transfer that two processors share is as slow as whoever takes one of them away for a while.
fn fastest(mut measure: impl FnMut() -> anyhow::Result<f64>) -> impl FnMut() -> anyhow::Result<f64> {
    move || (0..TRANSFERS).try_fold(f64::INFINITY, |least, _| Ok(least.min(measure()?)))
}

fn targets(section: &mut Section, has_redis: bool) {
    let added = |section: &Section, case: &str, base: &str| {
        section.case(case).minimum() - section.case(base).minimum()
    };
    for (case, base) in [(UDP_LIMITED, UDP), (UDP_MANY_LIMITED, UDP_MANY)] {
        let (what, value) = (format!("us: {case} - {base}"), added(section, case, base) / 1000.0);
        section.checks.push(Check::new("P12", what, value, Bound::AtMost(0.15)));
    }
    section.hold_median("P12", TCP_LIMITED, TCP, Bound::AtMost(1.01));
    section.hold_median("P12", TCP_LIMITED, TCP_METER, Bound::AtMost(1.0));
    if has_redis {
        let value = added(section, UDP_REDIS, UDP) / added(section, UDP_LIMITED, UDP);
        let what = format!("({UDP_REDIS} - {UDP}) / ({UDP_LIMITED} - {UDP})");
        section.checks.push(Check::new("P12", what, value, Bound::AtLeast(20.0)));
    }
    section.hold_median("P13", TCP_REFUSED, TCP, Bound::AtMost(0.5));
    let value = section.case(ANSWER).minimum() / 1000.0;
    section.checks.push(Check::new("P14", format!("us: {ANSWER}"), value, Bound::AtMost(1.5)));
    section.hold_median("P14", LOOK_UP_LIMITED, LOOK_UP, Bound::AtMost(1.03));
    section.hold("P15", BULK_TRAFFIC, BULK, Bound::AtMost(1.03));
}
