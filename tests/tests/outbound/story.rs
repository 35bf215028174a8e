//! The story: one site is hammered and protected, others are not touched.

use std::time::Duration;

use limiter_tests::client::Client;
use limiter_tests::client::protocol::{How, Request};
use limiter_tests::wire::monotonic_ns;

use crate::{DNS, EDQUOT, Scene};

const SECOND: u64 = 1_000_000_000;
const BACKOFF: u64 = 15 * SECOND;
/// How far off `retry_after_ms` may be.
const SLACK: u64 = 50_000_000;
const GOOGLE: &str = "10.1.0.1:443";
const STACKEXCHANGE: &str = "10.1.0.2:443";
const OTHER: &str = "10.1.0.3:443";

/// Times and error numbers of attempts.
type Attempts = Vec<(u64, i32)>;

fn hammer(client: &mut Client, to: &str, per_second: f64, seconds: f64) {
    client.tell(&Request::Hammer { to: to.parse().unwrap(), how: How::Tcp, per_second, seconds });
}

/// 10/s to stackexchange.com for a minute, 25/s to google.com meanwhile: the whole promise, by the times that the client's
/// kernel tells. An attempt is judged after its own time and before that of the next one.
#[test]
fn a_site_that_is_hammered_is_protected_and_the_others_are_not_touched() {
    let scene = Scene::new();
    scene.name("google.com", &["10.1.0.1"]);
    scene.name("stackexchange.com", &["10.1.0.2"]);
    scene.name("unlisted.org", &["10.1.0.3"]);
    let _daemon = scene.attach(&[
        "--default-rate",
        "10/s burst 10",
        "--backoff",
        "15s",
        "--host",
        "google.com,*.google.com = 20/s burst 20, backoff 15s",
        "--host",
        "stackexchange.com = 15/s",
    ]);
    let mut clients = [scene.client(), scene.client(), scene.client()];
    for (client, name) in clients.iter_mut().zip(["google.com", "stackexchange.com", "unlisted.org"]) {
        assert_eq!(client.resolve(name, DNS).addresses.len(), 1);
    }
    let [google, stackexchange, other] = &mut clients;
    hammer(stackexchange, STACKEXCHANGE, 10.0, 60.0);
    hammer(other, OTHER, 8.0, 60.0);
    hammer(google, GOOGLE, 25.0, 22.0);
    let told = while_refused(&scene);
    let hammered: Attempts = google.hear(Duration::from_secs(30));

    let crossing = hammered.iter().position(|(_, errno)| *errno == EDQUOT).expect("it is refused at last");
    let (before, since) = hammered.split_at(crossing);
    assert!(before.iter().all(|(_, errno)| *errno == 111), "the site itself answers: {before:?}");
    let allowed = 20 + 20 * (hammered[crossing].0 - hammered[0].0) / SECOND;
    assert!(allowed.abs_diff(before.len() as u64) <= 1, "{} of {allowed} before", before.len());

    let (earliest, latest) = (since[0].0 + BACKOFF, since[1].0 + BACKOFF);
    for pair in since.windows(2).filter(|pair| pair[1].0 < earliest) {
        assert_eq!(pair[0].1, EDQUOT, "refused for all of the back-off");
    }
    let first_after = since.iter().find(|(time, _)| *time >= latest).expect("it hammers for longer");
    assert_eq!(first_after.1, 111, "the first one after it is admitted");
    let refused = since.iter().filter(|(_, errno)| *errno == EDQUOT).count();
    assert!((370..=377).contains(&refused), "15 s of 25 a second: {refused}");

    assert!(told.len() >= 10, "limiterctl why answers while it is refused");
    for Told { before, after, retry_after } in told {
        assert!(after + retry_after + SLACK >= earliest, "too early");
        assert!(before + retry_after <= latest + SLACK, "too late");
    }
    for (client, name) in [(stackexchange, "stackexchange.com"), (other, "unlisted.org")] {
        let attempts: Attempts = client.hear(Duration::from_secs(90));
        assert!(attempts.iter().all(|(_, errno)| *errno == 111), "{name}: {attempts:?}");
        assert_eq!(scene.counts(name), (attempts.len() as u64, 0));
    }
    let seen = scene.counts("google.com");
    assert_eq!(seen, ((hammered.len() - refused) as u64, refused as u64));
}

/// What `limiterctl why` said, and when it was asked.
struct Told {
    before: u64,
    after: u64,
    /// Nanoseconds.
    retry_after: u64,
}

/// Asks for as long as google.com is refused.
fn while_refused(scene: &Scene) -> Vec<Told> {
    let mut told = Vec::new();
    let deadline = monotonic_ns() + 30 * SECOND;
    while monotonic_ns() < deadline {
        let before = monotonic_ns();
        let why = scene.why("google.com");
        let after = monotonic_ns();
        let limit = &why["limits"][0];
        if limit["refused"] == "backoff" {
            assert_eq!(
                (&why["refused"], limit["rule"].as_str()),
                (&true.into(), Some("google.com,*.google.com"))
            );
            let retry_after = why["retry_after_ms"].as_u64().unwrap() * 1_000_000;
            told.push(Told { before, after, retry_after });
        } else if !told.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    told
}
