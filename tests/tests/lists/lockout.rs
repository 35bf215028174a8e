//! Nobody locks himself out.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{RULES, Scene};

const SSH: [&str; 4] = ["--port", "22", "--rate", "1/day burst 1"];

fn at_ssh<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["attach", "--interface", "eth0"][..], &SSH, more].concat()
}

/// What a verb warns of a person who is logged in from 198.51.100.7 by port 22.
fn warning(scene: &Scene, arguments: &[&str]) -> String {
    let mut command = scene.server.command(arguments);
    let said = command.env("SSH_CONNECTION", "198.51.100.7 50000 192.0.2.1 22").output().unwrap();
    String::from_utf8(said.stderr).unwrap()
}

#[test]
fn who_attaches_over_ssh_is_warned_where_that_is_limited() {
    let scene = Scene::new();
    // It ends by itself, so that the command comes back.
    let at = |more: &[&'static str]| warning(&scene, &at_ssh(&[&["--for", "10ms"][..], more].concat()));
    assert!(at(&[]).contains("by which you are logged in, and your address falls under it"));
    assert!(at(&["--deny", "198.51.100.0/24"]).contains("your address is denied"));
    assert!(!at(&["--allow", "198.51.100.0/24"]).contains("warning"));
    let elsewhere = [&["attach", "--for", "10ms"][..], &RULES].concat();
    assert!(!warning(&scene, &elsewhere).contains("warning"), "another port");
}

#[test]
fn the_session_is_found_where_sudo_left_it_out() {
    let scene = Scene::new();
    let binary = limiter_tests::daemon::binary();
    let words = [&[binary.to_str().unwrap()], &at_ssh(&["--for", "10ms"])[..]].concat().join("' '");
    let mut shell = scene.server.host.command_in(&scene.server.sandbox, "sh");
    shell.env("SSH_CONNECTION", "198.51.100.7 50000 192.0.2.1 22");
    // The shell stays, with the variable, as the parent of one that has it no more.
    let said = shell.args(["-c", &format!("env -u SSH_CONNECTION '{words}'; :")]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("by which you are logged in"), "{said:?}");
}

#[test]
fn who_denies_himself_is_warned() {
    let scene = Scene::new();
    let _daemon = scene.server.attach(&at_ssh(&[])[1..]);
    let warned = |prefix| warning(&scene, &["deny", "add", prefix]);
    assert!(warned("198.51.100.0/24").contains("limiterctl: warning: 198.51.100.0/24 covers 198.51.100.7"));
    assert_eq!(warned("203.0.113.0/24"), "");
}

#[test]
fn limits_on_trial_go_by_themselves() {
    let scene = Scene::new();
    let (status, stderr) = scene.attach(&["--for", "50ms"]).wait();
    assert!(status.success() && stderr.contains("nobody has confirmed the limits"), "{status}: {stderr}");
    assert_eq!((scene.server.xdp("eth0").as_str(), scene.server.has_pins()), ("", false));
}

#[test]
fn limits_that_are_confirmed_stay() {
    let scene = Scene::new();
    let said = |code, words: &str| {
        let said = scene.server.limiterctl(&["confirm"]);
        assert_eq!(said.code, code, "{said:?}");
        assert!((said.stdout + &said.stderr).contains(words));
    };
    said(1, "nothing waits for it");
    let mut daemon = scene.attach(&["--for", "8s"]);
    assert!(daemon.said.iter().any(|line| line.contains("unless you say: limiterctl confirm")));
    assert!(scene.server.status()["detaches_at"].is_string());
    said(0, "confirmed, the limits stay");
    said(1, "nothing waits for it");
    assert!(scene.server.status()["detaches_at"].is_null());
    // Until the 8 seconds are over; there is no quicker way to see that nothing happens.
    std::thread::sleep(Duration::from_secs(9));
    assert_ne!(scene.server.xdp("eth0"), "", "it went all the same");
    kill(Pid::from_raw(daemon.pid() as i32), Signal::SIGTERM).unwrap();
    daemon.wait_for("detached").unwrap();
}
