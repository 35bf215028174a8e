//! docs/operations.md, as it stands there: its files are installed, its commands are run one after the other, and what they say is what
//! the page says. `…` stands for anything on a line, and on a line of its own for any lines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;
use limiter_tests::daemon::{Daemon, Machine, Said, binary};
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::{Host, LinkOptions, Sandbox, link};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

const PAGE: &str = include_str!("../../docs/operations.md");
const DNS: &str = "10.0.0.53";
/// What stands on the page, in its order.
#[derive(Debug)]
enum Part {
    File(String),
    Command { line: usize, command: String, output: Vec<String> },
    Direction(String),
}

fn parts() -> Vec<Part> {
    let (mut parts, mut block, mut text) = (Vec::new(), None, String::new());
    for (line, content) in (1..).zip(PAGE.lines()) {
        match (&block, content.strip_prefix("```")) {
            (None, Some(kind)) => block = Some(kind.to_owned()),
            (Some(kind), Some(_)) => {
                if kind == "toml" {
                    parts.push(Part::File(std::mem::take(&mut text)));
                }
                block = None;
            }
            (Some(kind), None) if kind == "toml" => text.extend([content, "\n"]),
            (Some(kind), None) if kind == "console" => match content.strip_prefix("# ") {
                Some(command) => {
                    parts.push(Part::Command { line, command: command.to_owned(), output: Vec::new() });
                }
                None => match parts.last_mut() {
                    Some(Part::Command { output, .. }) => output.push(content.to_owned()),
                    _ => panic!("line {line}: output without a command"),
                },
            },
            (None, None) => {
                let direction = content.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                parts.extend(direction.map(|direction| Part::Direction(direction.to_owned())));
            }
            _ => {}
        }
    }
    parts
}

/// Whether this was said, where `…` stands for anything.
fn is_said(shown: &[String], said: &[&str]) -> bool {
    match shown.split_first() {
        None => said.is_empty(),
        Some((any, rest)) if any == "…" => (0..=said.len()).any(|skipped| is_said(rest, &said[skipped..])),
        Some((line, rest)) => {
            said.split_first().is_some_and(|(first, said)| is_line(line, first) && is_said(rest, said))
        }
    }
}

/// The lines of tables are as long as what stands in them, so spaces and rules count once.
fn is_line(shown: &str, said: &str) -> bool {
    let plain = |text: &str| {
        let mut words: Vec<_> = text.split_whitespace().collect();
        words
            .iter_mut()
            .filter(|word| word.chars().all(|c| c == '─' || c == '═'))
            .for_each(|word| *word = &word[..3]);
        words.join(" ")
    };
    let (shown, said) = (plain(shown), plain(said));
    let mut parts = shown.split('…');
    let Some(mut rest) = said.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn three_dots_stand_for_anything() {
    let said = |shown: &str, said: &str| {
        is_said(&shown.lines().map(str::to_owned).collect::<Vec<_>>(), &said.lines().collect::<Vec<_>>())
    };
    assert!(said("a … c\n…\nz", "a b c\nx\ny\nz") && said("…", "") && said("──────\n a  b", "───\n a b"));
    assert!(!said("a … c", "a b") && !said("a\n…\nz", "a\nx") && !said("a", "a\nb") && !said("", "a"));
}

/// A server with a bookshop, clients, and the world.
struct Scene {
    machine: Machine,
    world: Host,
    /// All that ends with the test.
    outer: Cgroup,
    shop: Option<(Cgroup, Client)>,
    daemon: Option<Daemon>,
    _server: DnsServer,
}

impl Scene {
    fn new() -> Self {
        let (machine, world) = (
            Machine { host: Host::new("machine"), sandbox: Sandbox::with_resolver(DNS) },
            Host::new("world"),
        );
        link(&machine.host, "eth0", &world, "eth0", LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        machine.host.add_address("eth0", "10.0.0.1/24");
        world.add_address("eth0", "10.0.0.53/24");
        machine.host.add_route("10.0.0.0/8", "via 10.0.0.53");
        world.ip("route add local 10.0.1.0/24 dev lo");
        let zone = Zone::new();
        zone.set("books.example", Answer::addresses(300, &["10.0.1.1"]));
        let server = DnsServer::start(&world, format!("{DNS}:53").parse().unwrap(), &zone);
        machine.sandbox.run(|| {
            let kept = ["resolv.conf", "hosts", "nsswitch.conf"]
                .map(|name| (name, fs::read(Path::new("/etc").join(name))));
            mount(Some("tmpfs"), "/etc", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
            for (name, text) in kept {
                // A machine may do without the last.
                if let Ok(text) = text {
                    fs::write(Path::new("/etc").join(name), text).unwrap();
                }
            }
            fs::create_dir("/etc/limiterctl").unwrap();
        });
        let mut scene =
            Self { machine, world, outer: Cgroup::new(), shop: None, daemon: None, _server: server };
        scene.start_shop();
        scene
    }

    fn start_shop(&mut self) {
        drop(self.shop.take());
        let cgroup = self.outer.child("bookshop.service");
        let client = Client::start(&self.machine.host, &cgroup);
        self.shop = Some((cgroup, client));
    }

    /// Runs a command of the page; what it says of systemd is done as the unit says.
    fn run(&mut self, command: &str) -> Said {
        match command {
            "systemctl start limiterctl" => self.daemon = Some(self.machine.attach(&["--keep"])),
            "systemctl stop limiterctl" => drop(self.daemon.take().unwrap().signal(Signal::SIGTERM)),
            "systemctl restart limiterctl" => {
                drop(self.daemon.take().unwrap().signal(Signal::SIGTERM));
                self.daemon = Some(self.machine.attach(&["--keep"]));
            }
            "systemctl reload limiterctl" => {
                let Said { code, stderr, .. } = self.machine.limiterctl(&["reload"]);
                return Said { code, stdout: String::new(), stderr };
            }
            _ => {
                let mut shell = self.machine.host.command_in(&self.machine.sandbox, "/bin/sh");
                let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", binary().parent().unwrap().display());
                shell
                    // Both in one, as a terminal shows them.
                    .args(["-c", &format!("exec 2>&1; {command}")])
                    .env("PATH", path)
                    .env("NO_COLOR", "1")
                    .env_remove("SSH_CONNECTION");
                return shell.output().unwrap().into();
            }
        }
        Said { code: 0, stdout: String::new(), stderr: String::new() }
    }

    fn follow(&mut self, direction: &str) {
        match direction {
            // For who reads the source of the page.
            "file" => {}
            "the daemon is killed" => {
                drop(self.daemon.take().unwrap().signal(Signal::SIGKILL));
            }
            "the unit restarts" => {
                let id = self.machine.status()["outbound"]["cgroups"][0]["id"].clone();
                self.start_shop();
                self.wait(|status| {
                    let cgroup = &status["outbound"]["cgroups"][0];
                    cgroup["id"].is_u64() && cgroup["id"] != id && status["enforcing"] == true
                });
            }
            _ => {
                let traffic = direction.strip_prefix("traffic: ").unwrap_or_else(|| panic!("{direction}"));
                traffic.split(", ").for_each(|part| self.send(part));
            }
        }
    }

    /// `30 SYNs from 198.51.100.7`, or `25 connects to books.example`.
    fn send(&mut self, traffic: &str) {
        let words: Vec<_> = traffic.split(' ').collect();
        let (count, [what, _, target]) = (words[0].parse().unwrap(), words[1..].try_into().unwrap());
        match what {
            "SYNs" => {
                let judged = |status: &serde_json::Value| {
                    let rule = &status["rules"][0];
                    let refused = rule["refused"].as_object().unwrap().values();
                    let counts = refused.chain([&rule["passed"], &rule["allowed"]]);
                    counts.map(|count| count.as_u64().unwrap()).sum::<u64>()
                };
                let before = judged(&self.machine.status());
                let sender = Sender::open(&self.world, "eth0");
                let frame = Frame::ipv4(target, "10.0.0.1").tcp(40_000, 443).syn().build();
                (0..count).for_each(|_| sender.send(&frame));
                self.wait(|status| judged(status) == before + count);
            }
            "connects" => {
                let (_, client) = self.shop.as_mut().unwrap();
                client.resolve(target, &format!("{DNS}:53"));
                (0..count).for_each(|_| {
                    client.connect(How::Tcp, "10.0.1.1:80");
                });
            }
            _ => panic!("{traffic}"),
        }
    }

    #[track_caller]
    fn wait(&self, holds: impl Fn(&serde_json::Value) -> bool) {
        let there = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(10));
            holds(&self.machine.status())
        });
        assert!(there, "{}", self.machine.status());
    }
}

#[test]
fn the_page_for_operators_is_what_happens() {
    let mut scene = Scene::new();
    let mut wrong = Vec::new();
    for part in parts() {
        match part {
            Part::File(text) => {
                scene.machine.sandbox.run(|| fs::write("/etc/limiterctl/limiterctl.toml", text).unwrap());
            }
            Part::Direction(direction) => scene.follow(&direction),
            Part::Command { line, command, output } => {
                let said = scene.run(&command);
                let all = said.stdout + &said.stderr;
                let lines: Vec<_> = all.lines().map(str::trim_end).collect();
                if said.code != 0 || !is_said(&output, &lines) {
                    wrong.push(format!("line {line}: # {command}: {}\n{}", said.code, lines.join("\n")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "docs/operations.md says something else:\n{}", wrong.join("\n\n"));
    assert!(!scene.machine.has_pins());
}
