//! The control socket: what it answers, to whom, and what it bears.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use limiter_tests::control::{ask, connect, connect_as};
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::schema;
use nix::sys::signal::Signal;
use proptest::prelude::Rng as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

const SOCKET: &str = "/run/limiterctl/control.sock";
const API: &str = include_str!("../../docs/openapi.json");
const NOBODY: u32 = 65_534;

fn machine() -> (Machine, Host) {
    let (server, client) = Machine::with_client(LinkOptions::default());
    (server, client)
}

fn attach(server: &Machine) -> Daemon {
    server.attach(&["--interface", "eth0", "--port", "80", "--rate", "1/hour burst 3", "--action", "drop"])
}

/// Every operation that the page describes is there and answers with a code and a body that it describes; and what it does
/// not describe is not there.
#[test]
fn the_server_does_what_its_description_says() {
    let (server, _client) = machine();
    let _daemon = attach(&server);
    let api: Value = serde_json::from_str(API).unwrap();
    let mut tried = 0;
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let (method, path) = (method.to_uppercase(), path.replace("{target}", "google.com"));
            let body = operation.get("requestBody").map(|_| "{}");
            let (code, answer) = ask(&server, &method, &path, body);
            let described = &operation["responses"][code.to_string()];
            assert!(described.is_object(), "{method} {path}: {code} is not described: {answer}");
            let schema = &content(described)["schema"];
            let outside = schema["$ref"].as_str().and_then(|file| file.strip_prefix("schemas/"));
            let outside = outside.map(|name| schema::file(name.trim_end_matches(".json")));
            let (schema, root) = outside.as_ref().map_or((schema, &api), |file| (file, file));
            assert_eq!(schema::check(&answer, schema, root, &format!("{method} {path} {code}")), Ok(()));
            let other = if method == "GET" { "POST" } else { "GET" };
            assert_eq!(ask(&server, other, &path, Some("{}")).0, 405, "{other} {path}");
            tried += 1;
        }
    }
    assert_eq!(tried, 6);
    for path in ["/", "/v1", "/v2/status", "/v1/status/", "/metrics"] {
        let (code, answer) = ask(&server, "GET", path, None);
        assert_eq!((code, &answer["cause"]), (404, &json!("there is no such thing here")), "{path}");
    }
}

/// JSON, or lines of it: so early there is one event.
fn content(response: &Value) -> &Value {
    let content = &response["content"];
    content.get("application/x-ndjson").unwrap_or(&content["application/json"])
}

#[test]
fn what_it_tells_is_what_the_verbs_tell() {
    let (server, _client) = machine();
    let _daemon = attach(&server);
    assert_eq!(ask(&server, "GET", "/v1/status", None), (200, server.status()));
    let (code, problem) = ask(&server, "GET", "/v1/why/google.com", None);
    assert_eq!((code, &problem["cause"]), (422, &json!("nothing holds limits on destinations")));
    for body in ["{\"dry\": true}", "{\"dry_run\": 1}", "[]"] {
        assert_eq!(ask(&server, "POST", "/v1/reload", Some(body)).0, 422, "{body}");
    }
    assert_eq!(ask(&server, "POST", "/v1/reload", Some("{")).0, 400);
    // What is too long is not read to its end, so the answer may be lost with the connection.
    let mut stream = connect(&server);
    let head = "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
    let _ = stream.write_all((head.to_owned() + &" ".repeat(100_000)).as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(ask(&server, "GET", "/v1/status", None).0, 200);
}

#[test]
fn nobody_but_root_gets_an_answer() {
    let (server, _client) = machine();
    let _daemon = attach(&server);
    let mode = server.sandbox.run(|| fs::metadata(SOCKET).unwrap().permissions().mode());
    assert_eq!(mode & 0o777, 0o600);
    assert!(connect_as(&server, NOBODY).is_err());
    // Somebody who is let to the socket all the same, by a mistake of the administrator's.
    server.sandbox.run(|| {
        fs::set_permissions("/run/limiterctl", fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o666)).unwrap();
    });
    let heard = |user| {
        let mut stream = connect_as(&server, user).unwrap();
        // Whoever is shown the door may not be able to write, or to read.
        let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        !answer.is_empty()
    };
    assert!(heard(0));
    assert!(!heard(NOBODY), "an answer for nobody");
}

/// With `[app]` others may go through the directory, and no further: see app.rs.
#[test]
fn what_lies_beside_it_is_for_root_alone() {
    let (server, _client) = machine();
    let _daemon = attach(&server);
    let mode = |path: &Path| {
        let about = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        about.permissions().mode() & 0o7777
    };
    server.sandbox.run(|| {
        let directory = Path::new("/run/limiterctl");
        assert_eq!(mode(directory), 0o700);
        for name in ["control.sock", "state.json", "lock"] {
            assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
        }
    });
}

#[test]
fn a_stale_socket_is_replaced_and_a_daemon_that_ends_takes_its_own_away() {
    let (server, _client) = machine();
    drop(attach(&server).signal(Signal::SIGKILL));
    assert!(server.sandbox.run(|| fs::exists(SOCKET).unwrap()), "it is stale");
    let said = server.limiterctl(&["reload"]);
    assert_eq!((said.code, said.stderr.as_str()), (1, "limiterctl: no daemon runs\n"));
    let daemon = attach(&server);
    assert_eq!(ask(&server, "GET", "/v1/status", None).0, 200);
    drop(daemon.signal(Signal::SIGTERM));
    assert!(!server.sandbox.run(|| fs::exists(SOCKET).unwrap()));
}

#[test]
fn ten_thousand_malformed_requests_do_no_harm() {
    let (server, _client) = machine();
    let daemon = attach(&server);
    let good = b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let rng = runner.rng();
    let before = descriptors(&daemon);
    for _ in 0..10_000 {
        let mut stream = connect(&server);
        let mut bytes = good.to_vec();
        for _ in 0..=(rng.next_u32() % 8) {
            let place = rng.next_u32() as usize % bytes.len();
            match rng.next_u32() % 3 {
                0 => bytes[place] = rng.next_u32() as u8,
                1 => bytes.truncate(place.max(1)),
                _ => bytes.insert(place, rng.next_u32() as u8),
            }
        }
        // It may have heard enough before the end.
        let _ = stream.write_all(&bytes);
    }
    assert_eq!(ask(&server, "GET", "/v1/status", None).0, 200);
    settle(&daemon, before);
}

#[test]
fn a_thousand_at_once_and_slow_ones_among_them_are_served() {
    let (server, _client) = machine();
    let daemon = attach(&server);
    let before = descriptors(&daemon);
    // As many as have a place, who say half a word and no more.
    let slow: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /v1/sta").unwrap();
            stream
        })
        .collect();
    let many: Vec<UnixStream> = (0..1000)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for mut stream in many {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    drop(slow);
    settle(&daemon, before);
}

/// How many descriptors the daemon has.
fn descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

/// Waits until it has as many again as before. A test that waits in vain ends by this.
#[track_caller]
fn settle(daemon: &Daemon, before: usize) {
    for _ in 0..1000 {
        if descriptors(daemon) <= before {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} descriptors, and {before} before", descriptors(daemon));
}
