//! One limit, and both CPUs that judge by it at a time.

use std::thread;
use std::time::Duration;

use aya::maps::MapData;
use limiter_tests::daemon::Machine;
use limiter_tests::wire::monotonic_ns;
use limiter_user::bpf::{Pins, Tables};

use super::{
    Family, Limit, PATIENCE, Scene, TEN_SECONDS, everywhere, first_ns, float, is_exact, passed, refused_for,
};

#[test]
fn one_source_on_both_cpus_gets_no_more_and_no_less() {
    everywhere(|mode, family| {
        let limit = Limit(1_000);
        let scene = Scene::new(mode, &["--rate", &limit.words()]);
        let sent = scene.flood_from_both_cpus(&family.syn(1, 1), 5_000, TEN_SECONDS);
        let count = sent.iter().map(|sent| sent.count).sum();
        assert_eq!(count, 100_000);
        scene.status_after(count);
        let shares = shares(&counters(&scene.server));
        let outcome = scene.outcome(count, passed);
        let what = format!("one source on CPUs {shares:?}, {mode} {family:?}");
        is_exact(&what, outcome.passed, limit.allows(&sent));
        refused_for(&outcome.rule, "rate", count - outcome.passed);
        assert_eq!(outcome.rule["sources"], 1);
        let busy = shares.iter().filter(|share| **share >= count / 4).count();
        assert_eq!(busy, 2, "both CPUs judge: {shares:?}");
    });
}

/// As fast as the machine can, so that both CPUs want the same cell at the same time. Whoever loses that race must not
/// get through on what the other took, not even once in a thousand times: this bound has no tolerance.
#[test]
fn both_cpus_at_full_speed_pass_no_more_and_no_less() {
    for rate in [1, 100, 1_000, 100_000] {
        for (mode, family, flag) in [
            ("native", Family::V4, "--rate"),
            ("generic", Family::V6, "--rate"),
            ("native", Family::V6, "--total-rate"),
        ] {
            let limit = Limit(rate);
            let scene = Scene::new(mode, &[flag, &limit.words()]);
            let counters = counters(&scene.server);
            let sent = scene.flood_from_both_cpus(&family.syn(1, 1), 100_000_000, Duration::from_millis(2));
            let count = sent.iter().map(|sent| sent.count).sum();
            assert_eq!(count, 400_000);
            let judged_ns = wait_until_judged(&counters, count);

            // Whoever loses every race for the cell is refused as well; what counts is that nobody passes twice.
            let passed = passed(&scene.status_after(count)["rules"][0]);
            assert_eq!(scene.passed.wait_for(passed, PATIENCE), passed);
            let what = format!("{flag} {rate}/s on CPUs {:?}, {mode} {family:?}", shares(&counters));
            // Nobody catches up here: a faster limit a busy machine may leave unused for a while.
            if rate <= 100 {
                is_exact(&what, passed, limit.allows(&sent));
            }
            let most = limit.allows_within(first_ns(&sent), judged_ns);
            println!("{what}: {passed} passed, {most:.1} are the most");
            assert!(float(passed) <= most, "{what}: {passed} passed, and {most:.1} are the most");
        }
    }
}

/// The counters of a limiter, to be read without starting it.
fn counters(server: &Machine) -> Tables<MapData> {
    server.sandbox.run(|| Tables::pinned(&Pins::locate()).expect("the maps are pinned"))
}

/// What each CPU has judged.
fn shares(counters: &Tables<MapData>) -> Vec<u64> {
    let cpus = counters.rule_by_cpu(1).expect("the counters can be read");
    cpus.iter().map(|cpu| cpu.passed + cpu.refused.iter().sum::<u64>()).collect()
}

/// Returns a time by which that many had been judged, and hardly a later one.
#[track_caller]
fn wait_until_judged(counters: &Tables<MapData>, count: u64) -> u64 {
    let end = monotonic_ns() + PATIENCE.as_nanos() as u64;
    while shares(counters).iter().sum::<u64>() < count {
        assert!(monotonic_ns() < end, "{count} SYNs were never judged: {:?}", shares(counters));
        thread::yield_now();
    }
    monotonic_ns()
}
