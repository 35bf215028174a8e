//! Daemons are killed, started again and upgraded while packets come in: none is unjudged, and nothing is forgotten.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const PINS: &str = "/sys/fs/bpf/limiterctl";

struct Scene {
    server: Machine,
    client: Host,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = Machine::with_client(LinkOptions::default());
        Self { server, client }
    }

    fn send_syns(&self, count: usize, source: u8) {
        let frame = syn(source);
        let sender = Sender::open(&self.client, "eth0");
        (0..count).for_each(|_| sender.send(&frame));
    }

    /// The rule, once so many SYNs have been judged; or after a while, whatever it then says.
    fn rule_after(&self, judged: u64) -> Value {
        for _ in 0..300 {
            let rule = self.server.status()["rules"][0].clone();
            if judged_by(&rule) >= judged {
                return rule;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.server.status()["rules"][0].clone()
    }

    /// All that is pinned, by its path.
    fn pins(&self) -> BTreeSet<String> {
        fn walk(directory: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                found.insert(path.display().to_string());
                if path.is_dir() {
                    walk(&path, found);
                }
            }
        }
        self.server.sandbox.run(|| {
            let mut found = BTreeSet::new();
            walk(Path::new(PINS), &mut found);
            found
        })
    }
}

fn syn(source: u8) -> Vec<u8> {
    Frame::ipv4(&format!("198.51.100.{source}"), "192.0.2.1").tcp(40_000, 80).syn().build()
}

fn on(rate: &str) -> Vec<&str> {
    vec!["--interface", "eth0", "--port", "80", "--action", "drop", "--rate", rate]
}

fn judged_by(rule: &Value) -> u64 {
    let refused = rule["refused"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
    rule["passed"].as_u64().unwrap() + refused
}

#[test]
fn a_source_that_was_over_its_limit_is_over_it_for_the_next_daemon() {
    let scene = Scene::new();
    let daemon = scene.server.attach(&on("1/hour burst 3"));
    scene.send_syns(5, 1);
    scene.rule_after(5);
    drop(daemon.signal(Signal::SIGKILL));
    let daemon = scene.server.attach(&on("1/hour burst 3"));
    scene.send_syns(5, 1);
    scene.send_syns(5, 2);
    let rule = scene.rule_after(15);
    assert_eq!(
        (&rule["passed"], &rule["refused"]["rate"], &rule["sources"]),
        (&json!(6), &json!(9), &json!(2))
    );
    let (_, stderr) = daemon.signal(Signal::SIGTERM);
    assert_eq!(stderr, "limiterctl: going on with what an earlier limiterctl had attached\n");
    assert!(!scene.server.has_pins());
}

#[test]
fn no_syn_is_unjudged_while_daemons_are_killed_and_started() {
    let rounds = if std::env::var_os("LIMITER_SOAK").is_some() { 1000 } else { 10 };
    let scene = Scene::new();
    let mut daemon = Some(scene.server.attach(&on("10/s burst 10")));
    let pins = scene.pins();
    let held = |daemon: &Option<Daemon>| Held::by(daemon.as_ref().unwrap().pid());
    let first = held(&daemon);
    let start = Instant::now();
    let done = AtomicBool::new(false);
    let mut sent = 0;
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let frames: Vec<_> = (0..=255).map(syn).collect();
            let sender = Sender::open(&scene.client, "eth0");
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                // No more at a time than the ring of a veth holds.
                frames.iter().take(SOURCES as usize).for_each(|frame| sender.send(frame));
                sent += u64::from(SOURCES);
                thread::sleep(Duration::from_millis(5));
            }
            sent
        });
        let _stop = Stop(&done);
        for _ in 0..rounds {
            drop(daemon.take().map(|daemon| daemon.signal(Signal::SIGKILL)));
            daemon = Some(scene.server.attach(&on("10/s burst 10")));
        }
        done.store(true, Ordering::Relaxed);
        sent = sending.join().unwrap();
    });
    let rule = scene.rule_after(sent);
    let dropped = lost(&scene.client);
    let may = f64::from(SOURCES) * 10.0_f64.mul_add(start.elapsed().as_secs_f64(), 10.0);
    let passed = rule["passed"].as_f64().unwrap();
    let last = held(&daemon);
    println!(
        "{sent} sent in {rounds} rounds, {dropped} lost on the wire; passed {:.4} of what may; the first and the last \
         daemon held {first:?}, {last:?}: {rule}",
        passed / may
    );
    assert_eq!(judged_by(&rule) + dropped, sent, "{rule}");
    assert!(rule["refused"]["rate"].as_u64().unwrap() > 0);
    assert!(passed <= may, "{passed} of {may} that may pass");
    assert!(last.descriptors <= first.descriptors + 4, "{last:?} after {first:?}");
    assert!(last.memory <= first.memory + (4 << 20), "{last:?} after {first:?}");
    assert_eq!(scene.pins(), pins, "pins come and go with what they are for");
    drop(daemon.map(|daemon| daemon.signal(Signal::SIGTERM)));
    assert!(!scene.server.has_pins());
}

/// Sources that send without a pause.
const SOURCES: u32 = 100;

/// What a daemon holds. What the kernel keeps beside it is pinned.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    /// Resident, in bytes.
    memory: u64,
}

impl Held {
    fn by(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { descriptors, memory: kibibytes << 10 }
    }
}

/// Ends what looks at it, also where the test does not come to its end.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many frames the link took from its sender and did not deliver.
fn lost(host: &Host) -> u64 {
    let said = host.ip("-json -statistics link show eth0");
    let links: Value = serde_json::from_str(&said).unwrap();
    links[0]["stats64"]["tx"]["dropped"].as_u64().unwrap()
}

/// A daemon is killed at every moment of its start, and in each the next one finds its way.
#[test]
fn whoever_is_killed_while_he_attaches_leaves_nothing_that_the_next_one_cannot_go_on_with() {
    let scene = Scene::new();
    let daemon = scene.server.attach(&on("1/hour burst 3"));
    scene.send_syns(5, 1);
    scene.rule_after(5);
    let pins = scene.pins();
    drop(daemon.signal(Signal::SIGKILL));
    for round in 0..12 {
        let arguments = [&["attach"][..], &on("1/hour burst 3")].concat();
        let mut child = scene
            .server
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("limiterctl starts");
        thread::sleep(Duration::from_millis(25 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        scene.send_syns(1, 1);
    }
    let daemon = scene.server.attach(&on("1/hour burst 3"));
    scene.send_syns(1, 1);
    let rule = scene.rule_after(18);
    assert_eq!((&rule["passed"], &rule["refused"]["rate"]), (&json!(3), &json!(15)), "never a fresh bucket");
    assert_eq!(scene.pins(), pins);
    drop(daemon.signal(Signal::SIGTERM));
    assert!(!scene.server.has_pins());
}

/// The same where nothing was attached before.
#[test]
fn whoever_is_killed_while_he_attaches_first_leaves_nothing_in_the_way() {
    for round in 0..6 {
        let scene = Scene::new();
        let arguments = [&["attach"][..], &on("1/hour burst 3")].concat();
        let mut child =
            scene.server.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(30 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let daemon = scene.server.attach(&on("1/hour burst 3"));
        scene.send_syns(5, 1);
        let rule = scene.rule_after(5);
        assert_eq!((&rule["passed"], &rule["refused"]["rate"]), (&json!(3), &json!(2)), "after {round}");
        drop(daemon.signal(Signal::SIGTERM));
        assert!(!scene.server.has_pins(), "after {round}");
    }
}

#[test]
fn what_is_asked_to_stay_stays_until_it_is_detached() {
    let scene = Scene::new();
    let mut daemon = scene.server.attach(&[&on("1/hour burst 3")[..], &["--keep"]].concat());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.pid() as i32), Signal::SIGTERM).unwrap();
    daemon.wait_for("its limits stay in force").unwrap();
    assert_eq!(daemon.wait().0.code(), Some(0));
    scene.send_syns(5, 1);
    let rule = scene.rule_after(5);
    assert_eq!((&rule["passed"], &rule["refused"]["rate"]), (&json!(3), &json!(2)));
    assert_eq!(scene.server.limiterctl(&["detach"]).code, 0);
    assert!(!scene.server.has_pins());
    assert_eq!(scene.server.xdp("eth0"), "");
}

#[test]
fn tables_of_another_version_are_not_read_and_stay_in_force_until_somebody_says_so() {
    let scene = Scene::new();
    let daemon = scene.server.attach(&on("1/hour burst 3"));
    scene.send_syns(5, 1);
    scene.rule_after(5);
    drop(daemon.signal(Signal::SIGKILL));
    scene.server.sandbox.run(|| {
        let maps = fs::read_dir(PINS).unwrap().flatten().find(|entry| entry.file_name() != "links").unwrap();
        fs::rename(maps.path(), Path::new(PINS).join("v999")).unwrap();
    });
    let said = scene.server.limiterctl(&[&["attach"][..], &on("1/hour burst 3")].concat());
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("the limits in force are those of another version"), "{said:?}");
    assert!(said.stderr.contains("limiterctl attach --fresh"), "{said:?}");
    assert_ne!(scene.server.xdp("eth0"), "", "they stay");

    let _daemon = scene.server.attach(&[&on("1/hour burst 3")[..], &["--fresh"]].concat());
    scene.send_syns(5, 1);
    let rule = scene.rule_after(5);
    assert_eq!((&rule["passed"], &rule["refused"]["rate"]), (&json!(3), &json!(2)), "it began anew");
    assert!(scene.pins().iter().all(|pin| !pin.contains("v999")));
}

#[test]
fn a_table_of_another_size_is_refused_and_the_old_one_stays_in_force() {
    let scene = Scene::new();
    drop(scene.server.attach(&on("1/hour burst 3")).signal(Signal::SIGKILL));
    let said = scene
        .server
        .limiterctl(&[&["attach"][..], &on("1/hour burst 3"), &["--max-sources", "4096"]].concat());
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("there is room for 1048576 sources"), "{said:?}");
    scene.send_syns(5, 1);
    let rule = scene.rule_after(5);
    assert_eq!((&rule["passed"], &rule["refused"]["rate"]), (&json!(3), &json!(2)));
}

/// Without the words for what is in force, nobody can tell which number is whose.
#[test]
fn a_lost_or_damaged_state_is_refused_with_a_way_out() {
    let scene = Scene::new();
    drop(scene.server.attach(&on("1/hour burst 3")).signal(Signal::SIGKILL));
    for damage in [Some("{\"interfaces\": [}"), None] {
        scene.server.sandbox.run(|| match damage {
            Some(text) => fs::write("/run/limiterctl/state.json", text).unwrap(),
            None => fs::remove_file("/run/limiterctl/state.json").unwrap(),
        });
        let said = scene.server.limiterctl(&[&["attach"][..], &on("1/hour burst 3")].concat());
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains("limiterctl attach --fresh"), "{said:?}");
        assert_ne!(scene.server.xdp("eth0"), "", "they stay");
    }
    let daemon = scene.server.attach(&[&on("1/hour burst 3")[..], &["--fresh"]].concat());
    drop(daemon.signal(Signal::SIGTERM));
    assert!(!scene.server.has_pins());
}
