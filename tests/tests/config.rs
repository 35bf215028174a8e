//! limiterctl.toml: what `check` says of it, that `attach` does what it says, and that flags go first. What is wrong with
//! which file is a table of limiter-user's own tests.

use std::fs;
use std::path::{Path, PathBuf};

use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::{Machine, Said};
use limiter_tests::net::{Host, LinkOptions, link};
use limiter_tests::packet::Frame;
use limiter_tests::wire::Sender;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const TWO_RULES: &str = r#"[inbound]
interfaces = ["eth0"]
deny = ["203.0.113.0/24"]
[[inbound.rule]]
name = "web"
ports = ["80"]
rate = "1/hour burst 3"
action = "drop"
[[inbound.rule]]
name = "mail"
ports = [25, 587]
rate = "1/hour burst 5"
"#;

/// A server with one interface, a client at it, and files to spare.
struct Scene {
    server: Machine,
    client: Host,
    files: TempDir,
}

impl Scene {
    fn new() -> Self {
        let (server, client) = Machine::with_client(LinkOptions::default());
        Self { server, client, files: tempfile::tempdir().expect("a directory to spare") }
    }

    fn file(&self, text: &str) -> String {
        let path = self.files.path().join("limiterctl.toml");
        fs::write(&path, text).expect("it can be written");
        path.to_str().expect("a readable path").to_owned()
    }

    /// Puts a file where limiterctl looks for it: the server gets an `/etc` of its own, with name servers and nothing else.
    fn install(&self, text: &str) {
        self.server.sandbox.run(|| {
            let servers = fs::read("/etc/resolv.conf").expect("the machine has it");
            mount(Some("tmpfs"), "/etc", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
                .expect("/etc is a directory");
            fs::write("/etc/resolv.conf", servers).expect("it can be written");
            fs::create_dir("/etc/limiterctl").expect("it can be made");
            fs::write("/etc/limiterctl/limiterctl.toml", text).expect("it can be written");
        });
    }

    /// SYNs to this port, so many from each of these sources.
    fn send_syns(&self, count: usize, sources: &[&str], port: u16) {
        let sender = Sender::open(&self.client, "eth0");
        for source in sources {
            let frame = Frame::ipv4(source, "192.0.2.1").tcp(40_000, port).syn().build();
            (0..count).for_each(|_| sender.send(&frame));
        }
    }

    /// Passed, and refused for any reason, of each rule by name, once so many SYNs have been judged.
    #[track_caller]
    fn counts_after(&self, judged: u64) -> Vec<(String, u64, u64)> {
        for _ in 0..500 {
            let status = self.server.status();
            let rules = status["rules"].as_array().expect("a list").iter();
            let counts: Vec<_> = rules.map(counts).collect();
            if counts.iter().map(|(_, passed, refused)| passed + refused).sum::<u64>() >= judged {
                return counts;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{judged} SYNs were never judged: {}", self.server.status());
    }

    /// Holds that a command fails as a whole.
    #[track_caller]
    fn fails(&self, arguments: &[&str], lines: &[&str]) {
        let said = self.server.limiterctl(arguments);
        assert_eq!((said.code, said.stderr.lines().collect::<Vec<_>>()), (2, lines.to_vec()), "{said:?}");
        assert!(self.server.xdp("eth0").is_empty() && !self.server.has_pins(), "something is left attached");
    }
}

fn counts(rule: &Value) -> (String, u64, u64) {
    let refused = rule["refused"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum();
    let name = rule["name"].as_str().expect("a name").to_owned();
    (name, rule["passed"].as_u64().expect("a number"), refused)
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/limiterctl.toml")
}

#[test]
fn attach_does_what_the_file_in_its_place_says_and_status_names_the_rules() {
    let scene = Scene::new();
    scene.install(TWO_RULES);
    let daemon = scene.server.attach(&[]);
    scene.send_syns(10, &["198.51.100.1", "198.51.100.2"], 80);
    scene.send_syns(10, &["198.51.100.1", "203.0.113.1"], 587);
    let counted = scene.counts_after(40);
    assert_eq!(counted, [("web".into(), 6, 14), ("mail".into(), 5, 15)]);
    assert_eq!(scene.server.status()["rules"][0]["refused"]["rate"], 14, "{}", scene.server.status());
    let listed = scene.server.limiterctl(&["deny", "list"]);
    assert!(listed.stdout.contains("203.0.113.0/24"), "{listed:?}");
    assert!(daemon.signal(Signal::SIGTERM).0.success());
}

#[test]
fn flags_go_before_the_file() {
    let scene = Scene::new();
    let peer = Host::new("second client");
    link(&peer, "eth0", &scene.server.host, "eth1", LinkOptions::default());
    let file = scene.file(TWO_RULES);
    let flags = [
        ["--config", &file],
        ["--interface", "eth1"],
        ["--xdp-mode", "generic"],
        ["--deny", "192.0.2.77"],
        ["--port", "443"],
        ["--max-open", "9"],
    ];
    let daemon = scene.server.attach(&[&flags.concat()[..], &["--monitor"]].concat());
    let status = scene.server.status();
    assert_eq!(status["interfaces"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(status["interfaces"][0]["name"], "eth1");
    assert_eq!(status["interfaces"][0]["xdp_mode"], "generic");
    let rules: Vec<_> = status["rules"].as_array().expect("a list").iter().collect();
    let names: Vec<_> = rules.iter().map(|rule| &rule["name"]).collect();
    assert_eq!(names, ["web", "mail", "command-line"]);
    assert!(rules.iter().all(|rule| rule["monitor"] == true), "{status}");
    assert_eq!((&rules[0]["action"], &rules[2]["max_open"]), (&json!("drop"), &json!(9)));
    let listed = scene.server.limiterctl(&["deny", "list"]);
    assert!(listed.stdout.contains("192.0.2.77") && !listed.stdout.contains("203.0.113"), "{listed:?}");
    assert!(daemon.signal(Signal::SIGTERM).0.success());
    // With an interface and no --config, the file in its place is not looked at.
    scene.install("this is no file");
    let daemon = scene.server.attach(&["--interface", "eth0", "--port", "80", "--rate", "10/s"]);
    assert!(daemon.signal(Signal::SIGTERM).0.success());
}

#[test]
fn limits_on_destinations_come_from_the_file_as_well() {
    let scene = Scene::new();
    let cgroup = Cgroup::new();
    let file = scene.file(&format!(
        "[outbound]\ncgroups = ['{}']\ndefault = {{ rate = '10/s burst 10' }}\nbackoff = '3s'\nerrno = 'EPERM'\n\
         [[outbound.rule]]\nname = 'google'\nhosts = ['google.com', '*.google.com']\nrate = '20/s burst 20'\n",
        cgroup.path().display()
    ));
    let host = ["--host", "example.org = 5/s"];
    let daemon = scene.server.attach(&[&["--config", &file, "--errno", "EACCES"][..], &host].concat());
    let outbound = &scene.server.status()["outbound"];
    assert_eq!(outbound["errno"], "EACCES", "{outbound}");
    let rules = outbound["rules"].as_array().expect("a list");
    let said: Vec<_> =
        rules.iter().map(|rule| (&rule["hosts"], &rule["rate"], &rule["backoff_ms"])).collect();
    assert_eq!(
        said,
        [
            (&json!(["default"]), &json!("10/second burst 10"), &json!(3000)),
            (&json!(["google.com", "*.google.com"]), &json!("20/second burst 20"), &json!(3000)),
            (&json!(["example.org"]), &json!("5/second burst 5"), &json!(3000)),
        ]
    );
    assert!(daemon.signal(Signal::SIGTERM).0.success());
}

#[test]
fn a_file_that_is_wrong_attaches_nothing() {
    let scene = Scene::new();
    let file = scene.file(&TWO_RULES.replace("587", "80"));
    scene.fails(
        &["attach", "--config", &file],
        &[
            &format!("limiterctl: {file}:11:14: port 80 is in rule 'web' and in rule 'mail'"),
            "  11 | ports = [25, 80]",
            "     |              ^^",
            "  name each port in one rule only, and once",
        ],
    );
    let file = scene.file(TWO_RULES);
    scene.fails(
        &["attach", "--config", &file, "--port", "1-100", "--rate", "1/s"],
        &[
            "limiterctl: port 25 is in rule 'mail' and in rule 'command-line'",
            "  name each port in one rule only",
        ],
    );
    scene.fails(
        &["attach", "--config", &file, "--host", "a.b = 1/s"],
        &[
            "limiterctl: --host means nothing without --cgroup",
            "  add --cgroup, or have a file say it (--config); see limiterctl attach --help",
        ],
    );
    scene.fails(
        &["attach", "--config", "/no/such.toml"],
        &[
            "limiterctl: cannot read /no/such.toml: No such file or directory (os error 2)",
            "  write one (dist/limiterctl.toml explains every key), or name another",
        ],
    );
    scene.install("");
    scene.fails(
        &["attach"],
        &[
            "limiterctl: /etc/limiterctl/limiterctl.toml:1:1: the file limits nothing",
            "  1 | ",
            "    | ^",
            "  begin with [inbound] for who connects to this machine, or [outbound] for what its services connect to",
        ],
    );
    scene.server.sandbox.run(|| fs::remove_file("/etc/limiterctl/limiterctl.toml").expect("it is there"));
    let cause = "nothing says what to limit: no --interface, no --cgroup, and there is no /etc/limiterctl/limiterctl.toml";
    let cure =
        "write that file, or say it: limiterctl attach --interface eth0 --port 80 --rate '900/min burst 60'";
    scene.fails(&["attach"], &[&format!("limiterctl: {cause}"), &format!("  {cure}")]);
}

#[test]
fn check_says_what_a_file_would_do_and_needs_no_root() {
    let scene = Scene::new();
    // Copies that nobody may use wherever the build directory is.
    let copies = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in("/tmp")
        .expect("a directory to spare");
    let (binary, file) = (copies.path().join("limiterctl"), copies.path().join("limiterctl.toml"));
    fs::copy(limiter_tests::daemon::binary(), &binary).expect("the binary can be copied");
    fs::copy(example(), &file).expect("the example can be copied");
    let mut command = scene.server.host.command_in(&scene.server.sandbox, "setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]);
    let output = command.arg(&binary).arg("check").arg(&file).output().expect("setpriv is there");
    let said: Said = output.into();
    assert_eq!(said.code, 0, "{said:?}");
    let web = "web: ports 80, 443, 8000-8100 on eth0. Each source (IPv4 /32, IPv6 /64) may open 900 connections a minute";
    assert!(said.stdout.starts_with(web), "{said:?}");
    assert!(said.stderr.contains("no unit 'shop.service' runs"), "{said:?}");
    assert!(said.stderr.contains("systemctl start shop.service"), "{said:?}");
}

#[test]
fn check_tells_programs_what_is_wrong_and_what_is_odd() {
    let scene = Scene::new();
    let check = |file: &str| {
        let said = scene.server.limiterctl(&["check", "--output", "json", file]);
        assert_eq!(said.stderr, "", "{said:?}");
        let told: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
        (said.code, told)
    };
    let file = scene.file(&TWO_RULES.replace("eth0", "eth7").replace("\"drop\"", "\"drop\"\nmonitor = true"));
    let (code, told) = check(&file);
    assert_eq!((code, &told["ok"], &told["file"]), (0, &json!(true), &json!(file)));
    assert_eq!(told["says"].as_array().map(Vec::len), Some(3), "{told}");
    let odd: Vec<_> = told["warnings"].as_array().expect("a list").iter().map(|w| &w["message"]).collect();
    assert_eq!(odd, ["no interface is called 'eth7' on this machine", "rule 'web' refuses nothing"]);
    assert_eq!((&told["warnings"][0]["line"], &told["warnings"][0]["column"]), (&json!(2), &json!(15)));

    let file = scene.file(&TWO_RULES.replace("action", "axtion"));
    let (code, told) = check(&file);
    assert_eq!((code, &told["ok"], &told["line"], &told["column"]), (1, &json!(false), &json!(8), &json!(1)));
    assert_eq!((&told["message"], &told["file"]), (&json!("there is no key 'axtion' here"), &json!(file)));
    assert!(told["cure"].as_str().is_some_and(|cure| cure.starts_with("did you mean 'action'?")), "{told}");

    let said = scene.server.limiterctl(&["check", "/no/such.toml"]);
    assert_eq!(said.code, 2, "{said:?}");
    let said = scene.server.limiterctl(&["check", "--schema"]);
    let schema: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    assert_eq!((said.code, &schema["additionalProperties"]), (0, &json!(false)));
}
