//! A name with several addresses costs what is connected, and not what the C library asks to sort them.

use crate::program::{PYTHON, build_with_musl};
use crate::{Program, Setting};

/// One successful attempt, to a name with two IPv4 addresses, and to one whose IPv6 address refuses connections.
#[track_caller]
fn assert_costs(program: &Program) {
    let setting = Setting::new("10/s burst 10", "100/hour burst 100");
    // Which of two address families comes first is not ours to say.
    for (name, expected) in [("two.test", 1..=1), ("both.test", 1..=2)] {
        let attempts = program.run(&setting, name, 1);
        assert!(attempts[0].ok, "{name}: {attempts:?}");
        let (allowed, refused) = setting.counts(name);
        println!("{name}: {allowed}");
        assert!(expected.contains(&allowed) && refused == 0, "{name}: {allowed}, {refused}");
    }
}

#[test]
fn glibc_given_a_service_sorts_for_nothing() {
    for script in ["getaddrinfo.py", "requests_client.py"] {
        assert_costs(&Program::script(PYTHON, script));
    }
    assert_costs(&Program::script("sh", "curl.sh"));
}

#[test]
fn glibc_given_no_service_sorts_for_nothing() {
    assert_costs(&Program::script("node", "fetch.mjs"));
    assert_costs(&Program::binary(env!("CARGO_BIN_EXE_tokio-client")));
}

#[test]
fn musl_sorts_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let program = build_with_musl("musl_getaddrinfo.c", directory.path());
    assert_costs(&Program::binary(program));
}
