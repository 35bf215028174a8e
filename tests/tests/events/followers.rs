//! Who follows: over a reload, to the end of the daemon, and as slowly as he likes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use limiter_tests::control::{ask, connect};
use limiter_tests::daemon::Machine;
use limiter_tests::dns::Answer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{FILE, Scene, outbound};

/// `limiterctl events --follow`, as it goes on.
struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    fn start(machine: &Machine) -> Self {
        let mut command = machine.command(&["events", "--follow", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { lines: BufReader::new(child.stdout.take().unwrap()), child }
    }

    /// Reads on until there is such an event. A test that waits in vain is ended from outside.
    #[track_caller]
    fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended");
            let event: Value = serde_json::from_str(&line).unwrap();
            if is_it(&event) {
                return event;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn followers_stay_over_a_reload_and_end_with_the_daemon() {
    let scene = Scene::new();
    let daemon = scene.attach(FILE);
    let mut follower = Follower::start(&scene.server);
    follower.wait_for(|event| event["state"] == "attached");
    let text = FILE.replace("burst 3", "burst 4");
    fs::write(
        scene.files.path().join("limiterctl.toml"),
        format!("[inbound]\ninterfaces = [\"eth0\"]\n{text}"),
    )
    .unwrap();
    assert_eq!(scene.server.limiterctl(&["reload"]).code, 0);
    let reloaded = follower.wait_for(|event| event["state"] == "reloaded");
    assert!(reloaded["text"].as_str().unwrap().contains("burst 4"), "{reloaded}");
    // What was tried at the reload may have been reported in the same tick.
    for _ in 0..3 {
        scene.send_syns(5, "198.51.100.8");
        thread::sleep(Duration::from_millis(50));
    }
    follower.wait_for(|event| event["address"] == "198.51.100.8");
    let _ = daemon.signal(Signal::SIGTERM);
    follower.wait_for(|event| event["state"] == "ending");
    assert_eq!(follower.child.wait().unwrap().code(), Some(2));
    let mut stderr = String::new();
    follower.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.starts_with("limiterctl: the daemon has ended\n"), "{stderr}");
    let said = scene.server.limiterctl(&["events"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.starts_with("limiterctl: no daemon runs"), "{said:?}");
}

#[test]
fn an_interrupt_ends_who_follows_and_a_closed_pipe_is_silent() {
    let scene = Scene::new();
    let _daemon = scene.attach(FILE);
    let mut follower = Follower::start(&scene.server);
    follower.wait_for(|event| event["state"] == "attached");
    kill(Pid::from_raw(follower.child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(follower.child.wait().unwrap().code(), Some(0));

    let mut child = {
        let mut command = scene.server.command(&["events", "--follow"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}

/// One that asks and does not read, as many as may; the daemon goes on.
#[test]
fn eight_may_follow_and_slow_ones_hold_nobody_up() {
    let scene = Scene::new();
    let _daemon = scene.attach(FILE);
    let follow = || {
        let mut stream = connect(&scene.server);
        stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        (stream, String::from_utf8(begin.to_vec()).unwrap())
    };
    let slow: Vec<(UnixStream, String)> = (0..8).map(|_| follow()).collect();
    assert!(slow.iter().all(|(_, begin)| begin == "HTTP/1.1 200"));
    let (code, problem) = ask(&scene.server, "GET", "/v1/events?follow=true", None);
    assert_eq!((code, &problem["cause"]), (503, &json!("as many follow events as may, which is 8")));
    assert!(problem["cure"].is_string());
    assert_eq!(scene.refusal("198.51.100.9")["rule"], "web");
    assert_eq!(ask(&scene.server, "GET", "/v1/events?what=ever", None).0, 400);
    drop(slow);
    for _ in 0..1000 {
        if follow().1 == "HTTP/1.1 200" {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("their places were never free again");
}

/// A follower that reads nothing, while more is told than the socket, the server and the channel hold.
#[test]
fn who_reads_too_slowly_is_told_how_much_he_lost() {
    const NAMES: u64 = 6000;
    let scene = outbound::Scene::new();
    scene.zone.otherwise(|name| Answer::numbered(300, name));
    let (_daemon, mut client) = scene.attach(&["--default-rate", "1/hour burst 1"]);
    let mut slow = connect(&scene.machine);
    slow.write_all(b"GET /v1/events?follow=true HTTP/1.0\r\n\r\n").unwrap();
    let mut lines = BufReader::new(slow).lines().map(|line| line.expect("more comes in time"));
    assert!(lines.next().unwrap().ends_with(" 200 OK"));
    // The first to each name is admitted, and the second refused and told of.
    for _ in 0..2 {
        client.names(0..NAMES, "n{}.test", outbound::DNS, 2);
    }
    // A test that waits in vain is ended by the time that a read may take.
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let mut events = events.skip_while(|event| event["kind"] != "lost");
    let lost = events.next().unwrap();
    println!("{lost}");
    assert!(lost["count"].as_u64().unwrap() > 0 && lost["time"].is_string(), "{lost}");
    assert_eq!(events.next().unwrap()["kind"], "refusal", "and it goes on");
}
