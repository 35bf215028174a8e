//! `limiterctl top` on a terminal: what it shows, what keys do, how it goes, and what it costs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod cost;
mod screen;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::net::{Host, LinkOptions, connect_from, link};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use screen::Screen;

const PATIENCE: Duration = Duration::from_mins(1);
const SERVER: &str = "10.0.0.1";
const SOURCE: &str = "10.0.1.1";
/// An hour, so that nothing ends while somebody looks.
const INBOUND: [&str; 10] = [
    "--interface",
    "eth0",
    "--port",
    "80",
    "--rate",
    "1/hour burst 2",
    "--backoff",
    "1h",
    "--max-open",
    "15",
];

/// A server with limits, and a client on the other side of a wire.
struct Scene {
    server: Machine,
    client: Host,
    cgroup: Cgroup,
    _listener: TcpListener,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = (Machine::new("server"), Host::new("client"));
        link(&client, "eth0", &server.host, "eth0", LinkOptions::default());
        server.host.add_address("eth0", &format!("{SERVER}/16"));
        client.add_address("eth0", &format!("{SOURCE}/16"));
        let listener = server.host.run(|| TcpListener::bind((SERVER, 80)).unwrap());
        Self { server, client, cgroup: Cgroup::new(), _listener: listener }
    }

    /// Limits of both kinds.
    fn attach(&self) -> Daemon {
        let cgroup = self.cgroup.path().to_str().unwrap();
        let outbound = ["--cgroup", cgroup, "--host", "localhost = 1/hour burst 1, backoff 1h"];
        self.server.attach(&[&INBOUND[..], &outbound].concat())
    }

    fn top(&self, size: (u16, u16), variables: &[(&str, &str)]) -> Screen {
        let mut command = self.server.command(&["top"]);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(variables.iter().copied());
        Screen::start(command, size)
    }
}

#[test]
fn it_shows_what_happens_and_does_what_keys_say() {
    let scene = Scene::new();
    let daemon = scene.attach();
    let mut screen = scene.top((80, 24), &[]);
    screen.shows("enforce");
    screen.shows(&format!("daemon {}", daemon.pid()));
    screen.shows("eth0: ");

    // Two connections stay open, the third begins a back-off.
    let address: SocketAddr = format!("{SERVER}:80").parse().unwrap();
    let _open: Vec<_> = scene.client.run(|| {
        (0..3).map(|_| connect_from(SOURCE.parse().unwrap(), address, Duration::from_secs(5))).collect()
    });
    let mut client = Client::start(&scene.server.host, &scene.cgroup);
    for _ in 0..2 {
        client.connect(How::Tcp, "127.0.0.1:80");
    }
    let shown = screen.when(|text| text.lines().any(|line| has(line, &["command-line", "in", "2", "1"])));
    println!("{shown}");
    screen.press("2");
    let source = format!("{SOURCE}/32");
    let shown =
        screen.when(|text| text.lines().any(|line| has(line, &[&source, "2", "15", "100 %", "back-off 5"])));
    println!("{shown}");
    screen.press("\t");
    let shown =
        screen.when(|text| text.lines().any(|line| has(line, &["localhost", "localhost", "back-off 5"])));
    println!("{shown}");
    screen.press("4");
    let both = |text: &str| text.contains(&source) && text.contains("all of localhost");
    println!("{}", screen.when(both));

    screen.press("/LOCAL\r");
    screen.when(|text| !text.contains(&source) && text.contains("with 'LOCAL': 1"));
    screen.press("\x1b");
    screen.when(both);
    screen.press("?");
    screen.shows("sort the other way round");
    screen.press("?p");
    screen.shows("PAUSED");
    screen.press("p");
    screen.when(|text| !text.contains("PAUSED"));
    screen.press("q");
    assert_eq!(screen.end().code(), Some(0));
}

/// Whether a line has these one after the other.
fn has(line: &str, parts: &[&str]) -> bool {
    let mut rest = line;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn without_a_daemon_it_goes_on_and_when_all_is_taken_off_it_says_so() {
    let scene = Scene::new();
    let daemon = scene.attach();
    let mut screen = scene.top((160, 50), &[]);
    screen.shows("daemon ");
    drop(daemon.signal(Signal::SIGKILL));
    println!("{}", screen.shows("no daemon"));
    let mut other = scene.top((40, 10), &[]);
    other.shows("no daemon");
    assert_eq!(scene.server.limiterctl(&["detach"]).code, 0);
    screen.shows("nothing is attached");
    screen.press("q");
    assert_eq!(screen.end().code(), Some(0));
    other.press("\x03");
    assert_eq!(other.end().code(), Some(0));
    let last = scene.top((80, 24), &[]);
    last.shows("limiterctl: nothing is attached");
    assert_eq!(last.end().code(), Some(1));
}

#[test]
fn however_it_ends_the_terminal_is_what_it_was() {
    let scene = Scene::new();
    let _daemon = scene.attach();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let screen = scene.top((80, 24), &[]);
        screen.shows("enforce");
        assert!(screen.parser.lock().unwrap().0.screen().alternate_screen());
        kill(Pid::from_raw(screen.child.id().cast_signed()), signal).unwrap();
        assert_eq!(screen.end().code(), Some(0), "{signal}");
    }
}

#[test]
fn colours_are_for_who_wants_them() {
    let scene = Scene::new();
    let _daemon = scene.attach();
    // Foreground and background, as numbers of eight, sixteen, 256 or all colours.
    let has_colours = |variables: &[(&str, &str)]| {
        let mut screen = scene.top((80, 24), variables);
        screen.shows("enforce");
        screen.press("q");
        let parser = Arc::clone(&screen.parser);
        screen.end();
        let text = String::from_utf8_lossy(&parser.lock().unwrap().1).into_owned();
        text.split("\x1b[").skip(1).any(|code| {
            let sgr = code
                .split_once('m')
                .map(|(code, _)| code)
                .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'));
            sgr.is_some_and(|sgr| sgr.starts_with("38;") || sgr.starts_with("48;"))
        })
    };
    assert!(has_colours(&[]));
    assert!(!has_colours(&[("NO_COLOR", "1")]));
}

#[test]
fn where_it_cannot_be_shown_there_is_a_cause_and_a_cure() {
    let scene = Scene::new();
    let _daemon = scene.attach();
    let said = scene.server.limiterctl(&["top"]);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.lines().count()), (2, "", 2), "{said:?}");
    assert!(said.stderr.ends_with("limiterctl status\n"), "{said:?}");
    let screen = scene.top((80, 24), &[("TERM", "dumb")]);
    screen.shows("limiterctl status");
    assert_eq!(screen.end().code(), Some(2));
}
