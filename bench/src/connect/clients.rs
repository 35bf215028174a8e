//! What an application waits for: connects of a client in Rust and of one in Python, through what may limit them.

pub mod python;

use limiter_tests::net::Sandbox;
use limiter_tests::wire::pin;

use super::meter;
use super::place::{ONE, OTHER_CPU, Place, Who};
use super::protocol::{Done, Job};
use super::redis::Server;
use super::scene::{Scene, allowed, unlimited};
use crate::measure::Measured;
use crate::report::{Bound, Check, Section};

/// Connects a measurement: twenty are over p99.
const TIMES: u32 = 2_000;
const VIEWS: u32 = 1_000;

const NONE: &str = "no limit";
const LIMITER: &str = "limiterctl";
const METER: &str = "nft's meter";
const REDIS: &str = "asking Redis before";
const IN_MEMORY: &str = "flask-limiter in memory";
const IN_REDIS: &str = "flask-limiter in Redis";

const RUST: &str = "Rust";
const PYTHON: &str = "Python";
const FLASK: &str = "Flask view";

/// One way to connect, measured once a round.
struct Way<'a> {
    name: String,
    measure: Box<dyn FnMut() -> anyhow::Result<Done> + 'a>,
    rounds: Vec<Done>,
}

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    Sandbox::new().run(|| {
        // As for the other connects: servers run beside the process that connects.
        pin(OTHER_CPU);
        measure_here(rounds)
    })
}

fn measure_here(rounds: usize) -> anyhow::Result<Section> {
    let (mut place, mut metered) = (Place::new()?, Place::new()?);
    meter::set_up(&metered.host)?;
    let redis = Server::start(&place.host).inspect_err(|why| eprintln!("  without Redis: {why}")).ok();
    let has = |what: &str, modules: &[&str]| {
        python::need(modules).inspect_err(|why| eprintln!("  without {what}: {why}")).is_ok()
    };
    let has_python = has("Python", &[]) && place.start_python().is_ok() && metered.start_python().is_ok();
    let has_redis = has_python && redis.is_some() && has("a Python client of Redis", &["redis"]);
    let has_flask = has_python && has("Flask", &["flask", "flask_limiter"]);
    let scene = Scene::new(&place, "")?;

    let mut ways = Vec::new();
    for (label, who, is_there) in [(RUST, Who::Rust, true), (PYTHON, Who::Python, has_python)] {
        if !is_there {
            continue;
        }
        let (place, metered, scene, job) = (&place, &metered, &scene, &Job::TcpConnect);
        ways.push(Way::new(label, NONE, move || unlimited(place, who, job, ONE, TIMES)));
        ways.push(Way::new(label, LIMITER, move || scene.ask(who, job, ONE, TIMES, allowed)));
        ways.push(Way::new(label, METER, move || {
            let done = unlimited(metered, who, job, ONE, TIMES)?;
            meter::ensure_seen(&metered.host, "tcp_seen").map(|()| done)
        }));
        if redis.is_some() && (who == Who::Rust || has_redis) {
            let job = Job::TcpConnectAsking(Server::path());
            ways.push(Way::new(label, REDIS, move || unlimited(place, who, &job, ONE, TIMES)));
        }
    }
    if has_flask {
        let view = |storage: Option<String>| {
            let (place, job) = (&place, Job::View(storage));
            move || unlimited(place, Who::Python, &job, ONE, VIEWS)
        };
        ways.push(Way::new(FLASK, NONE, view(None)));
        ways.push(Way::new(FLASK, LIMITER, || scene.ask(Who::Python, &Job::View(None), ONE, VIEWS, allowed)));
        ways.push(Way::new(FLASK, IN_MEMORY, view(Some("memory://".into()))));
        if has_redis {
            let storage = format!("redis+unix://{}", Server::path().display());
            ways.push(Way::new(FLASK, IN_REDIS, view(Some(storage))));
        }
    }
    for round in 1..=rounds {
        eprint!("\r  round {round} of {rounds} ");
        for way in &mut ways {
            let done = (way.measure)()?;
            way.rounds.push(done);
        }
    }
    eprintln!();

    let mut section = Section {
        name: "clients",
        title: "What an application waits for",
        how: "TCP connects to a server of the same host, one after another, by a process in a cgroup. The time is that of \
              `connect()`, and of the asking before it where Redis is asked: `INCR` and `EXPIRE` in one message through a \
              Unix socket, from Python by the `redis` module. Connects a second count `socket()` and `close()` in. A Flask \
              view makes one connect; its time is that of the request, handed to the application without an HTTP server. \
              flask-limiter counts a request for the destination, in memory or in Redis, before the view is called. No limit \
              is ever reached.",
        measured: ways.iter().flat_map(Way::measured).collect(),
        checks: Vec::new(),
        notes: Vec::new(),
        curves: Vec::new(),
    };
    let names: Vec<_> = ways.iter().map(|way| way.name.clone()).collect();
    targets(&mut section, &names);
    Ok(section)
}

impl<'a> Way<'a> {
    fn new(who: &str, how: &str, measure: impl FnMut() -> anyhow::Result<Done> + 'a) -> Self {
        Self { name: name(who, how), measure: Box::new(measure), rounds: Vec::new() }
    }

    fn measured(&self) -> [Measured; 3] {
        let of = |what, unit, value: fn(&Done) -> f64| Measured {
            name: format!("{}: {what}", self.name),
            unit,
            samples: self.rounds.iter().map(value).collect(),
        };
        [
            of("p50", "us", |done| done.ns / 1000.0),
            of("p99", "us", |done| done.p99 / 1000.0),
            of("connects a second", "/s", |done| done.per_second),
        ]
    }
}

fn name(who: &str, how: &str) -> String {
    format!("{who}, {how}")
}

fn targets(section: &mut Section, measured: &[String]) {
    let has = |name: &String| measured.contains(name);
    for (who, rival) in [(RUST, REDIS), (PYTHON, REDIS), (FLASK, IN_REDIS)] {
        let [none, limiter, rival] = [NONE, LIMITER, rival].map(|how| name(who, how));
        if has(&none) && has(&rival) {
            let median = |name: &str| section.case(&format!("{name}: p50")).median();
            let value = (median(&rival) - median(&none)) / (median(&limiter) - median(&none));
            let what = format!("({rival} - {none}) / ({limiter} - {none}), p50");
            section.checks.push(Check::new("P12", what, value, Bound::AtLeast(20.0)));
        }
    }
    for who in [RUST, PYTHON] {
        let [limiter, meter] = [LIMITER, METER].map(|how| name(who, how));
        if has(&meter) {
            let [limiter, meter] = [limiter, meter].map(|name| format!("{name}: p50"));
            section.hold_median("P12", &limiter, &meter, Bound::AtMost(1.0));
        }
    }
}
