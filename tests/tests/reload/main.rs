//! A configuration is exchanged for another one: all of it or nothing, and nothing is forgotten by it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod exact;

use std::fs;
use std::thread;
use std::time::Duration;

use limiter_tests::daemon::{Daemon, Machine, Said};
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server whose limits are in a file, and a client.
struct Scene {
    server: Machine,
    client: Host,
    files: TempDir,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = Machine::with_client(LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        link(&client, "eth1", &server.host, "eth1", LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        Self { server, client, files: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> String {
        self.files.path().join("limiterctl.toml").display().to_string()
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn attach(&self, text: &str) -> Daemon {
        self.write(text);
        self.server.attach(&["--config", &self.file()])
    }

    fn reload(&self, more: &[&str]) -> Said {
        self.server.limiterctl(&[&["reload"], more].concat())
    }

    fn send_syns(&self, count: usize, source: u8, port: u16) {
        self.send_syns_on("eth0", count, source, port);
    }

    fn send_syns_on(&self, interface: &str, count: usize, source: u8, port: u16) {
        let frame = Frame::ipv4(&format!("198.51.100.{source}"), "192.0.2.1").tcp(40_000, port).syn().build();
        let sender = Sender::open(&self.client, interface);
        (0..count).for_each(|_| sender.send(&frame));
    }

    /// What passed under a rule and what was refused for its rate, once so many have been judged.
    fn counts(&self, rule: &str, judged: u64) -> (u64, u64) {
        let mut counts = (0, 0);
        for _ in 0..300 {
            let status = self.server.status();
            let rules = status["rules"].as_array().unwrap();
            let rule = rules.iter().find(|own| own["name"] == rule).unwrap_or_else(|| panic!("{status}"));
            counts = (rule["passed"].as_u64().unwrap(), rule["refused"]["rate"].as_u64().unwrap());
            if counts.0 + counts.1 >= judged {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        counts
    }
}

/// Rules for ports, each with its rate, in this order.
fn rules(rules: &[(&str, u16, &str)]) -> String {
    let rules = rules.iter().map(|(name, port, rate)| {
        format!(
            "[[inbound.rule]]\nname = \"{name}\"\nports = [{port}]\nrate = \"{rate}\"\naction = \"drop\"\n"
        )
    });
    "[inbound]\ninterfaces = [\"eth0\"]\n".to_owned() + &rules.collect::<String>()
}

#[test]
fn a_reload_resets_no_bucket_and_no_count_whatever_comes_and_goes_around_it() {
    let scene = Scene::new();
    let daemon = scene.attach(&rules(&[("web", 80, "1/hour burst 3"), ("mail", 25, "1/hour burst 2")]));
    scene.send_syns(5, 1, 80);
    scene.send_syns(5, 1, 25);
    assert_eq!((scene.counts("web", 5), scene.counts("mail", 5)), ((3, 2), (2, 3)));

    // Mail goes, others come, in front of web as well; web gets another port.
    scene.write(&rules(&[
        ("ssh", 22, "1/hour burst 1"),
        ("web", 8080, "1/hour burst 3"),
        ("dns", 53, "1/hour"),
    ]));
    let said = scene.reload(&[]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    for line in ["limiterctl: reloaded", "  - rule mail", "  + rule ssh", "  rule web: ports: 80 -> 8080"] {
        assert!(said.stdout.lines().any(|own| own == line), "{line}: {said:?}");
    }
    scene.send_syns(5, 1, 8080);
    scene.send_syns(5, 1, 22);
    scene.send_syns(9, 1, 80); // Nobody's any more.
    assert_eq!((scene.counts("web", 10), scene.counts("ssh", 5)), ((3, 7), (1, 4)));

    // Mail comes back as a rule like any new one, and the next daemon knows all of them.
    scene.write(&rules(&[("mail", 25, "1/hour burst 2"), ("web", 80, "1/hour burst 3")]));
    assert_eq!(scene.reload(&[]).code, 0);
    scene.send_syns(5, 1, 25);
    assert_eq!(scene.counts("mail", 5), (2, 3));
    drop(daemon.signal(Signal::SIGKILL));
    scene.write(&rules(&[("web", 80, "1/hour burst 3"), ("mail", 25, "1/hour burst 2")]));
    let _daemon = scene.server.attach(&["--config", &scene.file()]);
    scene.send_syns(1, 1, 80);
    scene.send_syns(1, 1, 25);
    assert_eq!((scene.counts("web", 11), scene.counts("mail", 6)), ((3, 8), (2, 4)));
}

#[test]
fn a_limit_that_is_tightened_hands_out_nothing_and_one_that_is_loosened_gives_what_it_says() {
    let scene = Scene::new();
    let _daemon = scene.attach(&rules(&[("web", 80, "1/hour burst 20")]));
    scene.send_syns(25, 1, 80);
    assert_eq!(scene.counts("web", 25), (20, 5));
    scene.write(&rules(&[("web", 80, "1/hour burst 5")]));
    assert_eq!(scene.reload(&[]).code, 0);
    scene.send_syns(5, 1, 80);
    scene.send_syns(9, 2, 80);
    assert_eq!(scene.counts("web", 39), (25, 14), "source 1 has used up more than 5; source 2 is new");
    scene.write(&rules(&[("web", 80, "1000000/s burst 1000000")]));
    assert_eq!(scene.reload(&[]).code, 0);
    // Who comes from a limit of hours waits no longer than the second that the new burst lasts.
    scene.send_syns(1, 1, 80);
    assert_eq!(scene.counts("web", 40), (25, 15));
    thread::sleep(Duration::from_millis(2100));
    scene.send_syns(5, 1, 80);
    assert_eq!(scene.counts("web", 45), (30, 15));
}

#[test]
fn a_bad_file_changes_nothing_and_says_placesit_is_bad() {
    let scene = Scene::new();
    let good = rules(&[("web", 80, "1/hour burst 3")]);
    let mut daemon = scene.attach(&good);
    let before = scene.server.status();
    for (text, place) in [
        (good.replace("burst 3", "burst three"), ":6:8"),
        (good.replace("interfaces", "interface"), ":2:1"),
        (good.clone() + "[[inbound.rule]]\nname = \"other\"\nports = [80]\nrate = \"1/s\"\n", "80"),
        (good[..good.len() / 2].to_owned(), ":"),
        (String::new(), "limits nothing"),
    ] {
        scene.write(&text);
        let said = scene.reload(&[]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains(place) && said.stderr.lines().count() >= 2, "{place}: {said:?}");
    }
    assert_eq!(scene.server.status(), before);
    // By a signal nobody waits for the answer, and the daemon itself says it.
    kill(Pid::from_raw(daemon.pid() as i32), Signal::SIGHUP).unwrap();
    scene.write(&rules(&[("web", 80, "1/hour burst 4")]));
    thread::sleep(Duration::from_millis(200));
    kill(Pid::from_raw(daemon.pid() as i32), Signal::SIGHUP).unwrap();
    daemon.wait_for("  rule web: rate: 1/hour burst 3 -> 1/hour burst 4").unwrap();
    let (_, stderr) = daemon.signal(Signal::SIGTERM);
    assert!(stderr.contains("not reloaded, everything is as it was: ") || stderr.is_empty(), "{stderr}");
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let scene = Scene::new();
    let _daemon = scene.attach(&rules(&[("web", 80, "1/hour burst 3")]));
    let before = scene.server.status();
    let text = rules(&[("web", 80, "2/hour burst 6"), ("mail", 25, "1/s")]);
    scene.write(&(text.replace("[\"eth0\"]", "[\"eth0\", \"eth1\"]\ndeny = [\"203.0.113.0/24\"]")));
    let said = scene.reload(&["--dry-run", "--output", "json"]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    let changes = json!([
        "+ interface eth1",
        "+ rule mail",
        "rule web: rate: 1/hour burst 3 -> 2/hour burst 6",
        "+ denied 203.0.113.0/24",
    ]);
    assert_eq!(told, json!({"changes": changes, "dry_run": true}), "{said:?}");
    assert_eq!(scene.server.status(), before);
    let said = scene.reload(&[]);
    assert_eq!(said.stdout.lines().count(), 5, "{said:?}");
    assert_eq!(scene.reload(&[]).stdout, "limiterctl: nothing is different\n");
}

#[test]
fn interfaces_and_lists_come_and_go_with_the_file() {
    let scene = Scene::new();
    let with = |interfaces: &str, lists: &str| {
        rules(&[("web", 80, "1/hour burst 3")]).replace("[\"eth0\"]", &format!("[{interfaces}]\n{lists}"))
    };
    let _daemon = scene.attach(&with("\"eth0\"", "deny = [\"198.51.100.9\"]"));
    scene.send_syns(4, 9, 80);
    scene.send_syns(4, 1, 80);
    assert_eq!(scene.counts("web", 4), (3, 1));
    scene.write(&with("\"eth0\", \"eth1\"", ""));
    assert_eq!(scene.reload(&[]).code, 0);
    assert_ne!(scene.server.xdp("eth1"), "");
    scene.send_syns_on("eth1", 4, 9, 80);
    scene.send_syns_on("eth1", 1, 1, 80);
    assert_eq!(
        scene.counts("web", 9),
        (6, 3),
        "source 9 is denied no more, source 1 is over on eth1 as well"
    );
    scene.write(&with("\"eth1\"", ""));
    assert_eq!(scene.reload(&[]).code, 0);
    assert_eq!(scene.server.xdp("eth0"), "");
    assert_ne!(scene.server.xdp("eth1"), "");
}

#[test]
fn what_was_confirmed_stays_confirmed_after_a_reload() {
    let scene = Scene::new();
    scene.write(&rules(&[("web", 80, "1/hour burst 3")]));
    let _daemon = scene.server.attach(&["--config", &scene.file(), "--for", "10min"]);
    assert!(scene.server.status()["detaches_at"].is_string());
    assert_eq!(scene.server.limiterctl(&["confirm"]).code, 0);
    scene.write(&rules(&[("web", 80, "1/hour burst 4")]));
    assert_eq!(scene.reload(&[]).code, 0);
    assert!(scene.server.status()["detaches_at"].is_null(), "{}", scene.server.status());
}

/// The second interface's driver has no native XDP: by then the program on the first one has been exchanged.
#[test]
fn a_reload_that_fails_half_way_puts_back_what_was() {
    let scene = Scene::new();
    let _daemon = scene.attach(&rules(&[("web", 80, "1/hour burst 3")]));
    scene.send_syns(2, 1, 80);
    assert_eq!(scene.counts("web", 2), (2, 0));
    let before = scene.server.status();
    let worse = rules(&[("web", 80, "1/hour burst 20"), ("mail", 25, "1/hour")]);
    let places = "[\"eth0\", \"lo\"]\nxdp_mode = \"native\"\ndeny = [\"198.51.100.1\"]";
    scene.write(&worse.replace("[\"eth0\"]", places));
    let said = scene.reload(&[]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("the driver of lo refused native XDP"), "{said:?}");
    assert_eq!(scene.server.status(), before);
    assert_eq!(scene.server.xdp("lo"), "");
    scene.send_syns(5, 1, 80);
    assert_eq!(scene.counts("web", 7), (3, 4), "the old program judges");
}

#[test]
fn limits_from_the_command_line_cannot_be_read_anew() {
    let scene = Scene::new();
    let no_daemon = scene.reload(&[]);
    assert_eq!((no_daemon.code, no_daemon.stderr.as_str()), (1, "limiterctl: no daemon runs\n"));
    let _daemon =
        scene.server.attach(&["--interface", "eth0", "--port", "80", "--rate", "1/s", "--action", "drop"]);
    let said = scene.reload(&[]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("there is nothing to read anew"), "{said:?}");
}
