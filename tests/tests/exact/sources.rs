//! What one source gets, many by themselves, those of a prefix, and all together.

use std::time::Duration;

use limiter_tests::wire::Tally;

use super::{
    Limit, PATIENCE, Scene, TEN_SECONDS, TWO_SECONDS, everywhere, is_exact, judged, passed, refused_for,
};

#[test]
fn one_source_gets_its_burst_and_its_rate() {
    everywhere(|mode, family| {
        let limit = Limit(1_000);
        let scene = Scene::new(mode, &["--rate", &limit.words()]);
        let sent = scene.flood(&[family.syn(1, 1)], 10_000, TEN_SECONDS);
        assert_eq!(sent.count, 100_000);
        let outcome = scene.outcome(sent.count, passed);
        is_exact(&format!("one source, {mode} {family:?}"), outcome.passed, limit.allows(&[sent]));
        refused_for(&outcome.rule, "rate", sent.count - outcome.passed);
        assert_eq!(outcome.rule["sources"], 1);
    });
}

#[test]
fn each_of_a_hundred_sources_gets_its_own_burst_and_rate() {
    everywhere(|mode, family| {
        let limit = Limit(10);
        let scene = Scene::new(mode, &["--rate", &limit.words()]);
        let tally = Tally::open(&scene.server.host, "eth0");
        let frames: Vec<_> = (1..=100).map(|n| family.syn(n, 1)).collect();
        // Half an interval more: else the last of each source's packets would fall on the edge.
        let sent = scene.flood(&frames, 10_000, TEN_SECONDS + Duration::from_millis(50));
        let outcome = scene.outcome(sent.count, passed);
        let by_source = tally.wait_for(outcome.passed, PATIENCE);
        refused_for(&outcome.rule, "rate", sent.count - outcome.passed);
        assert_eq!(outcome.rule["sources"], 100);
        let expected = limit.allows(&[sent]);
        is_exact(&format!("a hundred sources, {mode} {family:?}"), outcome.passed, 100.0 * expected);
        for n in 1..=100 {
            let source = family.source(n, 1);
            let own = by_source[&source.parse().expect("an address")];
            is_exact(&format!("source {source} of a hundred, {mode}"), own, expected);
        }
    });
}

#[test]
fn all_sources_together_get_the_total() {
    everywhere(|mode, family| {
        let limit = Limit(1_000);
        let scene = Scene::new(mode, &["--total-rate", &limit.words()]);
        let frames: Vec<_> = (1..=100).map(|n| family.syn(n, 1)).collect();
        let sent = scene.flood(&frames, 10_000, TWO_SECONDS);
        let outcome = scene.outcome(sent.count, passed);
        is_exact(&format!("total, {mode} {family:?}"), outcome.passed, limit.allows(&[sent]));
        refused_for(&outcome.rule, "total", sent.count - outcome.passed);
    });
}

#[test]
fn neighbours_share_what_their_prefix_gets() {
    everywhere(|mode, family| {
        let limit = Limit(100);
        let scene = Scene::new(mode, &["--rate", &limit.words(), "--source-prefix", "24,48"]);
        let tally = Tally::open(&scene.server.host, "eth0");
        let frames: Vec<_> =
            (1..=20).flat_map(|host| [7, 8].map(|prefix| family.syn(prefix, host * 12))).collect();
        let sent = scene.flood(&frames, 2_000, TWO_SECONDS);
        let outcome = scene.outcome(sent.count, passed);
        refused_for(&outcome.rule, "rate", sent.count - outcome.passed);
        assert_eq!(outcome.rule["sources"], 2);
        let by_source = tally.wait_for(outcome.passed, PATIENCE);
        for prefix in [7, 8] {
            let sources = (1..=20).map(|host| family.source(prefix, host * 12));
            let own = sources.filter_map(|source| by_source.get(&source.parse().expect("an address")));
            let what = format!("neighbours of prefix {prefix}, {mode} {family:?}");
            is_exact(&what, own.sum(), limit.allows(&[sent]));
        }
    });
}

#[test]
fn a_monitor_lets_everything_pass_and_counts_what_it_would_refuse() {
    everywhere(|mode, family| {
        let limit = Limit(100);
        let scene = Scene::new(mode, &["--rate", &limit.words(), "--monitor"]);
        let sent = scene.flood(&[family.syn(1, 1)], 2_000, TWO_SECONDS);
        assert_eq!(scene.status_after(sent.count)["mode"], "monitor");
        let outcome = scene.outcome(sent.count, judged);
        assert_eq!(outcome.passed, sent.count);
        let within = passed(&outcome.rule);
        is_exact(&format!("monitor, {mode} {family:?}"), within, limit.allows(&[sent]));
        refused_for(&outcome.rule, "rate", sent.count - within);
    });
}
