//! A refusal reaches an application as an error that it knows, and keeps it from nothing else.

use crate::program::PYTHON;
use crate::{Attempt, Program, REFUSED, Setting};

/// Lets it connect to google.com more often than it may, and then elsewhere. The refused attempts come back.
#[track_caller]
fn refused(program: &Program) -> Vec<Attempt> {
    let setting = Setting::new("3/hour burst 3", "10/s burst 10");
    let mut attempts = program.run(&setting, "google.com", 5);
    let refused = attempts.split_off(3);
    assert!(attempts.iter().all(|attempt| attempt.ok), "{attempts:?}");
    for attempt in &refused {
        assert_eq!((attempt.ok, attempt.errno), (false, Some(REFUSED)), "{attempt:?}");
        // Seen with --nocapture; docs/clients.md tells it.
        println!("{}: {}", attempt.error_type, attempt.message);
    }
    let elsewhere = program.run(&setting, "stackexchange.com", 1);
    assert!(elsewhere[0].ok, "{elsewhere:?}");
    assert_eq!(setting.counts("google.com"), (3, 2));
    assert_eq!(setting.counts("stackexchange.com"), (1, 0));
    refused
}

#[test]
fn requests_raises_its_connection_error_with_the_errno_at_the_bottom() {
    for attempt in refused(&Program::script(PYTHON, "requests_client.py")) {
        assert_eq!(attempt.error_type, "requests.exceptions.ConnectionError");
        assert!(attempt.message.contains("[Errno 122] Disk quota exceeded"), "{}", attempt.message);
    }
}

#[test]
fn curl_exits_with_7_and_tells_the_reason_when_it_is_verbose() {
    for attempt in refused(&Program::script("sh", "curl.sh")) {
        assert_eq!(attempt.error_type, "exit 7");
        assert!(attempt.message.contains("Disk quota exceeded"), "{}", attempt.message);
    }
}

#[test]
fn fetch_of_node_throws_a_type_error_whose_cause_has_the_number() {
    for attempt in refused(&Program::script("node", "fetch.mjs")) {
        // libuv has no name for EDQUOT; for EACCES and EPERM it has.
        assert_eq!(attempt.error_type, "TypeError Unknown system error -122");
    }
}

#[test]
fn tokio_returns_an_io_error_of_the_kind_quota_exceeded() {
    for attempt in refused(&Program::binary(env!("CARGO_BIN_EXE_tokio-client"))) {
        assert_eq!(attempt.error_type, "QuotaExceeded");
    }
}
