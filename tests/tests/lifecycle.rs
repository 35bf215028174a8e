//! limiterctl from attach to detach: what it says, what it leaves, who may end it.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const RULE: [&str; 4] = ["--port", "80,8000-8010", "--rate", "1/hour burst 3"];

/// A server with two interfaces, and a client at each.
struct Scene {
    server: Machine,
    clients: [Host; 2],
}

impl Scene {
    fn new() -> Self {
        let (server, clients) = (Machine::new("server"), [Host::new("client 0"), Host::new("client 1")]);
        link(&clients[0], "eth0", &server.host, "eth0", LinkOptions::default());
        link(&clients[1], "eth0", &server.host, "eth1", LinkOptions::default());
        Self { server, clients }
    }

    /// SYNs from 198.51.100.`source` to this port, over the link of client 0.
    fn send_syns(&self, count: usize, source: u8, port: u16) {
        let frame = Frame::ipv4(&format!("198.51.100.{source}"), "192.0.2.1").tcp(40_000, port).syn().build();
        let sender = Sender::open(&self.clients[0], "eth0");
        (0..count).for_each(|_| sender.send(&frame));
    }

    /// The status, once so many SYNs have been judged.
    #[track_caller]
    fn status_after(&self, judged: u64) -> Value {
        for _ in 0..500 {
            let status = self.server.status();
            let rule = &status["rules"][0];
            let refused: u64 =
                rule["refused"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum();
            if rule["passed"].as_u64().expect("a number") + refused >= judged {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{judged} SYNs were never judged: {}", self.server.status());
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.server.xdp("eth0") + &self.server.xdp("eth1"), "", "a program is left");
        assert!(!self.server.has_pins(), "a pin is left");
        let said = self.server.limiterctl(&["status"]);
        assert_eq!((said.code, said.stderr.as_str()), (1, "limiterctl: nothing is attached\n"), "{said:?}");
    }
}

fn on<'a>(interfaces: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--interface", interfaces][..], &RULE, more].concat()
}

#[test]
fn attach_says_where_and_in_which_mode_and_what_it_limits() {
    let scene = Scene::new();
    for (arguments, mode, words) in [
        (on("eth0", &["--xdp-mode", "native"]), "native", "attached to eth0, native XDP"),
        (on("eth0", &["--xdp-mode", "generic"]), "generic", "attached to eth0, generic XDP"),
        (on("eth0", &["--action", "drop"]), "native", "attached to eth0, native XDP"),
        (on("eth0", &[]), "generic", "attached to eth0, generic XDP"),
    ] {
        let daemon = scene.server.attach(&arguments);
        assert!(daemon.said[0].contains(words), "{arguments:?}: {:?}", daemon.said);
        let rule = "port 80,8000-8010: 1/hour burst 3 for each /32 and /64; over it: ";
        assert!(daemon.said.last().is_some_and(|said| said.contains(rule)), "{:?}", daemon.said);
        let reason = daemon.said.iter().any(|said| said.starts_with("  not native: replies over veth need"));
        assert_eq!(
            reason,
            arguments == on("eth0", &[]),
            "it says why where native was welcome: {:?}",
            daemon.said
        );
        assert_eq!(scene.server.status()["interfaces"][0]["xdp_mode"], mode);
        let flag = scene.server.xdp("eth0");
        assert_eq!(flag.contains("xdpgeneric"), mode == "generic", "the kernel agrees: {flag}");
        drop(daemon.signal(Signal::SIGTERM));
    }
}

#[test]
fn without_a_terminal_it_says_nothing_more_until_it_detaches() {
    let scene = Scene::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut daemon = scene.server.attach(&on("eth0,eth1", &[]));
        scene.send_syns(10, 1, 80);
        scene.status_after(10);
        let announced = daemon.said.len();
        assert_eq!(announced, 5, "two interfaces with their reasons, and a rule: {:?}", daemon.said);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.pid() as i32), signal).expect("it runs");
        daemon.wait_for("detached").expect("it says so");
        assert_eq!(daemon.said[announced..], ["limiterctl: detached"]);
        let (status, stderr) = daemon.wait();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{signal}");
        scene.nothing_is_left();
    }
}

#[test]
fn on_a_terminal_it_shows_its_counters_in_one_line() {
    let scene = Scene::new();
    let binary = limiter_tests::daemon::binary();
    let words = [&[binary.to_str().expect("a readable path"), "attach"][..], &on("eth0", &[])].concat();
    let command = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let mut script = scene.server.host.command_in(&scene.server.sandbox, "script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let mut child = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("script is there");
    let mut terminal = child.stdout.take().expect("a pipe");
    let (mut screen, mut buffer, mut sent) = (String::new(), [0; 1024], false);
    // It shows zeroes first, then what was sent to it; then it is ended from outside, and says so.
    loop {
        let read = terminal.read(&mut buffer).expect("a terminal can be read");
        screen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if screen.contains("passed 0 ") && !sent {
            scene.send_syns(10, 1, 80);
            sent = true;
        }
        if read == 0 || screen.contains("sources 1") {
            break;
        }
    }
    assert_eq!(scene.server.limiterctl(&["detach"]).code, 0, "{screen}");
    terminal.read_to_string(&mut screen).expect("a terminal can be read");
    assert!(child.wait().expect("it ends").success(), "{screen}");
    let lines: Vec<_> = screen.split('\r').filter(|line| line.contains("passed")).collect();
    assert!(lines.len() >= 2, "{screen:?}");
    let last = lines.last().expect("lines");
    assert!(
        last.starts_with("passed 3 ") && last.contains("refused 7 ") && last.contains("rate 7"),
        "{screen:?}"
    );
    assert!(last.contains("sources 1"), "{screen:?}");
    scene.nothing_is_left();
}

#[test]
fn status_tells_what_was_sent() {
    let scene = Scene::new();
    let _daemon =
        scene.server.attach(&on("eth0,eth1", &["--action", "drop", "--total-rate", "1/hour burst 7"]));
    scene.send_syns(5, 1, 80); // 3 pass
    scene.send_syns(5, 2, 8005); // 3 pass
    scene.send_syns(5, 3, 80); // 1 passes, then all together are over
    scene.send_syns(50, 4, 22); // no rule
    let status = scene.status_after(15);

    assert_eq!(status["mode"], "enforce");
    assert_eq!(status["interfaces"][0]["name"], "eth0");
    assert_eq!(status["interfaces"][1]["name"], "eth1");
    assert_eq!(status["interfaces"][1]["xdp_mode"], "native");
    assert_eq!(status["interfaces"][1]["active"], true);
    let rule = &status["rules"][0];
    assert_eq!(rule["name"], "command-line");
    assert_eq!(rule["ports"], json!(["80", "8000-8010"]));
    assert_eq!(rule["passed"], 7);
    assert_eq!(
        rule["refused"],
        json!({"rate": 4, "backoff": 0, "total": 4, "contention": 0, "denied": 0, "open": 0, "strangers": 0})
    );
    assert_eq!((&rule["sources"], &rule["resets"]), (&json!(3), &json!(0)));
    assert_eq!(status["source_table"], json!({"cells": 1 << 20, "used": 3}));
    assert!(status["skipped"].as_object().expect("reasons").values().all(|count| count == 0), "{status}");

    let said = scene.server.limiterctl(&["status"]);
    assert_eq!(said.code, 0);
    let row =
        said.stdout.lines().find(|line| line.contains("command-line")).expect("the rule is in the table");
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["command-line", "80,8000-8010", "7", "4", "0", "4", "3"]);
    assert!(
        said.stdout.lines().all(|line| line.chars().count() <= 80),
        "wider than a terminal:\n{}",
        said.stdout
    );
}

/// A serial console says that it has no columns.
#[test]
fn status_can_be_read_on_a_terminal_without_a_size() {
    let scene = Scene::new();
    let _daemon = scene.server.attach(&on("eth0", &[]));
    let command = format!("'{}' status", limiter_tests::daemon::binary().display());
    let mut script = scene.server.host.command_in(&scene.server.sandbox, "script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let output = script.stdin(Stdio::null()).output().expect("script is there");
    let screen = String::from_utf8_lossy(&output.stdout);
    assert!(screen.contains(" command-line   80,8000-8010 "), "{screen}");
}

#[test]
fn status_of_nothing_is_a_negative_answer() {
    let scene = Scene::new();
    scene.nothing_is_left();
    let status = scene.server.status();
    assert_eq!((&status["mode"], &status["rules"]), (&json!("off"), &json!([])));
    let said = scene.server.limiterctl(&["detach"]);
    assert_eq!((said.code, said.stderr.as_str()), (1, "limiterctl: nothing was attached\n"));
}

#[test]
fn status_into_a_closed_pipe_is_no_error() {
    let scene = Scene::new();
    let _daemon = scene.server.attach(&on("eth0", &[]));
    let mut child = scene
        .server
        .command(&["status", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("limiterctl starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn detach_ends_the_daemon_and_removes_everything() {
    let scene = Scene::new();
    let daemon = scene.server.attach(&on("eth0,eth1", &[]));
    let said = scene.server.limiterctl(&["detach"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "limiterctl: detached\n"), "{said:?}");
    let (status, _) = daemon.wait();
    assert_eq!(status.code(), Some(0));
    scene.nothing_is_left();
}

#[test]
fn a_killed_daemon_leaves_its_limits_and_detach_removes_them() {
    let scene = Scene::new();
    let daemon = scene.server.attach(&on("eth0", &["--action", "drop"]));
    scene.send_syns(5, 1, 80);
    scene.status_after(5);
    drop(daemon.signal(Signal::SIGKILL));

    scene.send_syns(5, 1, 80);
    let status = scene.status_after(10);
    assert_eq!(status["daemon_pid"], Value::Null);
    assert_eq!(status["interfaces"][0]["active"], true);
    assert_eq!(
        (&status["rules"][0]["passed"], &status["rules"][0]["refused"]["rate"]),
        (&json!(3), &json!(7))
    );
    let said = scene.server.limiterctl(&["status"]);
    assert!(said.stdout.contains("the daemon is gone; its limits still hold"), "{said:?}");

    let said = scene.server.limiterctl(&["detach"]);
    assert_eq!(said.code, 0, "{said:?}");
    scene.nothing_is_left();
}

#[test]
fn attach_takes_the_place_of_what_a_killed_daemon_left() {
    let scene = Scene::new();
    drop(scene.server.attach(&on("eth0", &[])).signal(Signal::SIGKILL));
    let daemon = scene.server.attach(&on("eth1", &[]));
    assert_eq!(scene.server.xdp("eth0"), "");
    assert_ne!(scene.server.xdp("eth1"), "");
    let (status, stderr) = daemon.signal(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    assert_eq!(stderr, "limiterctl: going on with what an earlier limiterctl had attached\n");
    scene.nothing_is_left();
}

#[test]
fn an_interface_that_disappears_is_not_said_to_be_guarded() {
    let scene = Scene::new();
    drop(scene.server.attach(&on("eth0,eth1", &[])).signal(Signal::SIGKILL));
    scene.server.host.ip("link delete eth1");
    let status = scene.server.status();
    assert_eq!(
        (&status["interfaces"][0]["active"], &status["interfaces"][1]["active"]),
        (&json!(true), &json!(false))
    );
    assert!(scene.server.limiterctl(&["status"]).stdout.contains("eth1: generic XDP"), "{status}");
    assert!(scene.server.limiterctl(&["status"]).stdout.contains("NOT ATTACHED ANY MORE"), "{status}");
    assert_eq!(scene.server.limiterctl(&["detach"]).code, 0);
}

/// Real connections through both interfaces, each source with a burst of its own.
#[test]
fn several_interfaces_share_one_rule_and_its_sources() {
    let scene = Scene::new();
    for (i, client) in scene.clients.iter().enumerate() {
        scene.server.host.add_address(&format!("eth{i}"), &format!("10.0.{i}.1/24"));
        client.add_address("eth0", &format!("10.0.{i}.2/24"));
    }
    let _daemon = scene.server.attach(&on("eth0,eth1", &[]));
    let _listener = scene.server.host.run(|| TcpListener::bind("0.0.0.0:80").expect("a free port"));
    for (i, client) in scene.clients.iter().enumerate() {
        let server: SocketAddr = format!("10.0.{i}.1:80").parse().expect("an address");
        let attempts: Vec<_> = client.run(|| (0..5).map(|_| TcpStream::connect(server).is_ok()).collect());
        assert_eq!(attempts, [true, true, true, false, false], "client {i}");
    }
    assert_eq!(scene.server.status()["rules"][0]["sources"], 2);
}
