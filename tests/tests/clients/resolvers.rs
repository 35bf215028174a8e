//! Whatever an application resolves names with, its first connection already counts for the name.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use limiter_tests::cgroup::Cgroup;
use limiter_tests::dns::A;
use limiter_tests::net::Sandbox;

use crate::program::{PYTHON, build_with_musl, missing};
use crate::setting::SERVER;
use crate::{Attempt, Program, REFUSED, Setting};

/// No rule lists it, so that only the application can have made it known.
const FRESH: &str = "fresh.test";

fn setting() -> Setting {
    Setting::new("10/s burst 10", "3/hour burst 3")
}

#[track_caller]
fn assert_charged(setting: &Setting, attempts: &[Attempt]) {
    let errors: Vec<_> = attempts.iter().map(|attempt| attempt.errno).collect();
    assert_eq!(errors, [None, None, None, Some(REFUSED), Some(REFUSED)], "{attempts:?}");
    assert!(attempts[..3].iter().all(|attempt| attempt.ok), "{attempts:?}");
    assert_eq!(setting.counts(FRESH), (3, 2));
    println!("{}: {}", attempts[4].error_type, attempts[4].message);
}

#[track_caller]
fn assert_first_connection_is_charged(program: &Program) {
    let setting = setting();
    let first = program.run(&setting, FRESH, 1);
    assert!(first[0].ok, "{first:?}");
    assert_eq!(setting.counts(FRESH), (1, 0));
    let attempts = [first, program.run(&setting, FRESH, 4)].concat();
    assert_charged(&setting, &attempts);
}

#[test]
fn a_name_that_glibc_resolved_is_charged_from_the_first_connection_on() {
    assert_first_connection_is_charged(&Program::script(PYTHON, "getaddrinfo.py"));
}

#[test]
fn a_name_that_musl_resolved_is_charged_from_the_first_connection_on() {
    let directory = tempfile::tempdir().unwrap();
    let program = build_with_musl("musl_getaddrinfo.c", directory.path());
    assert_first_connection_is_charged(&Program::binary(program));
}

#[test]
fn a_name_that_dnspython_resolved_is_charged_from_the_first_connection_on() {
    assert_first_connection_is_charged(&Program::script(PYTHON, "dnspython.py").asking(SERVER));
}

#[test]
fn a_name_that_node_resolved_itself_is_charged_from_the_first_connection_on() {
    assert_first_connection_is_charged(&Program::script("node", "node_resolver.mjs").asking(SERVER));
}

#[test]
fn a_name_from_a_cache_on_loopback_is_charged_from_the_first_connection_on() {
    let setting = setting();
    // It asks for everybody, so it is not limited; its cgroup ends it with the test.
    let cgroup = Cgroup::new();
    let mut dnsmasq = dnsmasq(&setting, &cgroup);
    let sandbox = Sandbox::with_resolver("127.0.0.1");
    let attempts = Program::script(PYTHON, "getaddrinfo.py").run_in(&setting, &sandbox, FRESH, 5);
    assert_charged(&setting, &attempts);
    assert_eq!(setting.zone.asked(FRESH, A), 1, "the others were answered from the cache");
    dnsmasq.kill().unwrap();
    dnsmasq.wait().unwrap();
}

/// Starts it, and comes back when it can be asked.
#[track_caller]
fn dnsmasq(setting: &Setting, cgroup: &Cgroup) -> Child {
    let mut command = setting.machine.host.command_in(&setting.machine.sandbox, "dnsmasq");
    cgroup.place(&mut command);
    let child = command
        .args(["--conf-file=/dev/null", "--keep-in-foreground", "--log-facility=-", "--pid-file"])
        .args(["--user=root", "--listen-address=127.0.0.1", "--bind-interfaces", "--no-hosts", "--no-resolv"])
        .arg(format!("--server={SERVER}"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| missing("dnsmasq", &error));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    // It says so after it has bound its sockets.
    let started = lines.any(|line| {
        said.push(line);
        said.last().is_some_and(|line| line.contains("started, version"))
    });
    assert!(started, "{said:?}");
    child
}
