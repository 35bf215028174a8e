//! What is said to be enforced has been tried: nothing is attached that does not hold, and nothing real is touched by it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use limiter_tests::bpf;
use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_user::bpf::Pins;
use limiter_user::bpf::reports::ReportCounts;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const LINKS: &str = "/sys/fs/bpf/limiterctl/links";

/// A machine with an interface, and an application's cgroup below another one.
struct Scene {
    machine: Machine,
    _client: Host,
    outer: Cgroup,
    cgroup: Cgroup,
}

impl Scene {
    fn new() -> Self {
        let (machine, client) = (Machine::new("server"), Host::new("client"));
        link(&client, "eth0", &machine.host, "eth0", LinkOptions::default());
        let outer = Cgroup::new();
        let cgroup = outer.child("app");
        Self { machine, _client: client, outer, cgroup }
    }

    /// Limits on both sides, with every kind of state that there is.
    fn flags(&self) -> Vec<String> {
        let path = self.cgroup.path().to_str().unwrap();
        let inbound = ["--interface", "eth0", "--port", "80", "--rate", "1/hour burst 3", "--max-open", "9"];
        let outbound =
            ["--cgroup", path, "--default-rate", "1/hour burst 3", "--per-ip-rate", "1/hour burst 5"];
        [&inbound[..], &["--total-rate", "1/hour burst 9"], &outbound]
            .concat()
            .into_iter()
            .map(Into::into)
            .collect()
    }

    #[track_caller]
    fn attach(&self, more: &[&str]) -> Daemon {
        let flags = self.flags();
        let flags: Vec<_> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.machine.attach(&flags)
    }

    fn probe(&self) -> std::path::PathBuf {
        self.cgroup.path().join("limiterctl-probe")
    }

    /// Comes back with the first status of which this holds.
    #[track_caller]
    fn status_when(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let mut status = Value::Null;
        for _ in 0..500 {
            status = self.machine.status();
            if holds(&status) {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it never came to this: {status}");
    }

    fn table(&self) -> String {
        self.machine.limiterctl(&["status"]).stdout
    }
}

/// Every number of a status, each with its path.
fn numbers(value: &Value, path: &str, found: &mut Vec<(String, u64)>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| numbers(value, &format!("{path}/{key}"), found));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| numbers(value, &format!("{path}/{i}"), found));
        }
        Value::Number(number) => found.extend(number.as_u64().map(|number| (path.to_owned(), number))),
        _ => {}
    }
}

/// Four calls were refused in the cgroup, and two SYNs by the program for interfaces, and nobody was charged or counted.
#[test]
fn what_is_attached_was_tried_and_nothing_real_was_counted() {
    for monitor in [false, true] {
        let scene = Scene::new();
        let _daemon = scene.attach(if monitor { &["--monitor"] } else { &[] });
        let status = scene.machine.status();
        assert!(status["proof"]["at"].is_string(), "{status}");
        assert_eq!(status["proof"].as_object().unwrap().len(), 1, "nothing failed or was left out: {status}");
        assert_eq!(status["enforcing"], json!(!monitor));
        let words = if monitor { "monitoring: proved at 2" } else { "enforcing: proved at 2" };
        assert!(scene.table().starts_with(words), "{}", scene.table());
        let mut counted = Vec::new();
        for part in ["rules", "outbound/rules", "outbound/events", "outbound/unread", "skipped", "resets"] {
            numbers(status.pointer(&format!("/{part}")).unwrap(), part, &mut counted);
        }
        let settings = ["number", "max_open", "backoff_ms", "v4", "v6"];
        counted.retain(|(path, number)| *number > 0 && !settings.iter().any(|end| path.ends_with(end)));
        assert_eq!(counted, []);
        let reports = scene.machine.sandbox.run(|| ReportCounts::read(&Pins::locate()).unwrap());
        assert_eq!(reports, ReportCounts::default(), "events are of what is real");
        assert_eq!(status["source_table"]["used"], 0);
        assert!(!scene.probe().exists());
        assert!(scene.cgroup.processes().is_empty());
    }
}

/// A program further up lets through what the limiter refuses. What is in force already stays.
#[test]
fn limits_that_somebody_else_undoes_are_not_attached() {
    let scene = Scene::new();
    let outer = File::open(scene.outer.path()).unwrap();
    let pardon = bpf::pardon_connections(&outer).unwrap();
    let flags = scene.flags();
    let said = scene
        .machine
        .limiterctl(&["attach"].into_iter().chain(flags.iter().map(String::as_str)).collect::<Vec<_>>());
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("the limits do not hold: cgroup "), "{}", said.stderr);
    assert!(said.stderr.contains("should be told EDQUOT"), "{}", said.stderr);
    assert!(!scene.machine.has_pins() && scene.machine.xdp("eth0").is_empty());
    assert!(!scene.probe().exists());
    drop(pardon);

    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |rate: &str| {
        let path = scene.cgroup.path().display();
        let text = format!("[outbound]\ncgroups = [\"{path}\"]\n[outbound.default]\nrate = \"{rate}\"\n");
        fs::write(file.path(), text).unwrap();
    };
    write("1/hour burst 3");
    let _daemon = scene.machine.attach(&["--config", file.path().to_str().unwrap()]);
    let _pardon = bpf::pardon_connections(&outer).unwrap();
    write("1/hour burst 7");
    let said = scene.machine.limiterctl(&["reload"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("the limits do not hold"), "{}", said.stderr);
    let status = scene.machine.status();
    assert_eq!(status["outbound"]["rules"][0]["rate"], json!("1/hour burst 3"), "{status}");
    assert!(status["proof"]["failure"].is_null(), "nobody has tried the old ones again: {status}");
}

/// An application that is frozen, or whose cgroup takes no child, is limited all the same; what was not tried is said.
#[test]
fn what_cannot_be_tried_is_said() {
    for (file, text) in [("cgroup.freeze", "1"), ("cgroup.max.depth", "0")] {
        let scene = Scene::new();
        fs::write(scene.cgroup.path().join(file), text).unwrap();
        let _daemon = scene.attach(&[]);
        let status = scene.machine.status();
        let untried = status["proof"]["untried"].as_array().unwrap();
        assert_eq!(untried.len(), 1, "{status}");
        println!("{file}: {}", untried[0]);
        assert!(untried[0].as_str().unwrap().contains("/app: no process can be tried in it: "), "{status}");
        assert_eq!(status["enforcing"], json!(true));
        assert!(scene.table().contains("  not tried: cgroup "), "{}", scene.table());
        assert!(!scene.probe().exists());
    }
}

/// Somebody who was killed while he tried has left his cgroup.
#[test]
fn what_an_earlier_trial_has_left_is_no_obstacle() {
    let scene = Scene::new();
    fs::create_dir(scene.probe()).unwrap();
    let _daemon = scene.attach(&[]);
    assert!(scene.machine.status()["proof"]["untried"].is_null());
    assert!(!scene.probe().exists());
}

/// Links say what holds, whoever takes them off and whether a daemon is there or not.
#[test]
fn what_somebody_takes_off_is_not_called_enforced() {
    let scene = Scene::new();
    let daemon = scene.attach(&["--keep"]);
    let before = scene.machine.status()["proof"]["at"].clone();
    let pid = Pid::from_raw(daemon.pid() as i32);
    let links: Vec<_> = scene.machine.sandbox.run(|| {
        fs::read_dir(LINKS).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    });
    assert_eq!(links.len(), 8, "an interface, six on the cgroup, the root of all cgroups: {links:?}");
    for link in links {
        kill(pid, Signal::SIGSTOP).unwrap();
        scene.machine.sandbox.run(|| bpf::detach(&Path::new(LINKS).join(&link)).unwrap());
        assert_eq!(scene.machine.status()["enforcing"], json!(false), "{link}");
        assert!(scene.table().starts_with("NOT ENFORCING "), "{link}: {}", scene.table());
        kill(pid, Signal::SIGCONT).unwrap();
        scene.status_when(|status| status["enforcing"] == true);
    }
    let again = scene.status_when(|status| status["proof"]["at"] != before);
    assert!(again["proof"]["failure"].is_null(), "{again}");
}
