//! The socket for applications: who may ask, what it answers, and what an application makes of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::thread;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::{Daemon, Machine, Said};
use limiter_tests::net::{Host, LinkOptions};
use nix::sys::signal::Signal;
use nix::unistd::Group;
use serde_json::{Value, json};
use tempfile::TempDir;

const SOCKET: &str = "/run/limiterctl/app.sock";
const API: &str = include_str!("../../docs/openapi-app.json");
const README: &str = include_str!("../../README.md");
/// Groups that every machine has.
const GROUP: &str = "daemon";
const OTHER: &str = "mail";
const PYTHON: &str = "/usr/bin/python3";
const SITE: &str = "10.0.0.80";
const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
/// Asks about each of its arguments: the code and the answer, or nothing where the door stays shut.
const ASK: &str = r#"
import http.client, json, socket, sys
for path in sys.argv[1:]:
    method, path = path.split(" ")
    limiter = http.client.HTTPConnection("limiterctl", timeout=60)
    limiter.sock = socket.socket(socket.AF_UNIX)
    try:
        limiter.sock.connect("/run/limiterctl/app.sock")
        limiter.request(method, path)
        answer = limiter.getresponse()
        body = answer.read()
        print(json.dumps([answer.status, json.loads(body) if body else None]))
    except (OSError, http.client.HTTPException) as error:
        print(json.dumps([0, type(error).__name__]))
"#;

/// A machine with a cgroup to limit, and a site that answers.
struct Scene {
    machine: Machine,
    cgroup: Cgroup,
    files: TempDir,
    site: Host,
}

impl Scene {
    fn new() -> Self {
        let (machine, site) = Machine::with_client(LinkOptions::default());
        machine.host.add_address("eth0", "10.0.0.1/24");
        site.add_address("eth0", &format!("{SITE}/24"));
        Self { machine, cgroup: Cgroup::new(), files: tempfile::tempdir().unwrap(), site }
    }

    /// Limits each destination to two connections for the time of the test; `app` is what else the file says.
    fn write(&self, app: &str) -> String {
        let path = self.files.path().join("limiterctl.toml");
        let cgroup = self.cgroup.path().display();
        let text = format!(
            "[outbound]\ncgroups = [\"{cgroup}\"]\ndefault = \"2/hour burst 2\"\nbackoff = \"1h\"\n\
             [[outbound.rule]]\nname = \"google\"\nhosts = [\"google.com\"]\nrate = \"5/s\"\n{app}"
        );
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn attach(&self, app: &str) -> Daemon {
        self.machine.attach(&["--config", &self.write(app)])
    }

    /// Whether it was done.
    fn reload(&self, app: &str) -> Said {
        self.write(app);
        self.machine.limiterctl(&["reload"])
    }

    /// A command of nobody's, with these flags of setpriv's for its groups.
    fn nobody(&self, groups: &[&str]) -> Command {
        let mut command = self.machine.host.command_in(&self.machine.sandbox, "setpriv");
        command.arg("--reuid=65534").args(groups).arg(PYTHON);
        command
    }
}

fn is_there(scene: &Scene) -> bool {
    scene.machine.sandbox.run(|| fs::exists(SOCKET).unwrap())
}

/// What came of asking.
#[track_caller]
fn answers(mut command: Command, paths: &[&str]) -> Vec<(u64, Value)> {
    let said = Said::from(command.args(["-c", ASK]).args(paths).output().unwrap());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    let lines = said.stdout.lines().map(|line| serde_json::from_str::<(u64, Value)>(line).unwrap());
    lines.collect()
}

const WHY: [&str; 1] = ["GET /v1/why/google.com"];
const IN_GROUP: [&str; 2] = ["--regid=daemon", "--clear-groups"];

#[test]
fn root_and_the_group_are_answered_and_nobody_else_is() {
    let scene = Scene::new();
    let _daemon = scene.attach("[app]\ngroup = \"daemon\"\n");
    let groups = ["--regid=65534", "--groups=mail,daemon"];
    let strangers = [["--regid=65534", "--clear-groups"], ["--regid=65534", "--groups=mail"]];
    // One that is in more groups than are asked for at first.
    let many: Vec<_> = (1000..1100).map(|number| number.to_string()).collect();
    let many = ["--regid=65534".to_owned(), format!("--groups={},daemon", many.join(","))];
    let code = |groups: &[&str]| answers(scene.nobody(groups), &WHY)[0].0;

    let root = scene.machine.host.command_in(&scene.machine.sandbox, PYTHON);
    assert_eq!(answers(root, &WHY)[0].0, 200);
    assert_eq!(code(&IN_GROUP), 200);
    assert_eq!(code(&groups), 200, "the group is not its first");
    assert_eq!(code(&[&many[0], &many[1]]), 200, "the group is one of many");
    for stranger in &strangers {
        assert_eq!(answers(scene.nobody(stranger), &WHY)[0], (0, json!("PermissionError")), "{stranger:?}");
    }
    scene.machine.sandbox.run(|| {
        let (socket, directory) = (fs::metadata(SOCKET).unwrap(), fs::metadata("/run/limiterctl").unwrap());
        let group = Group::from_name(GROUP).unwrap().unwrap().gid;
        assert_eq!((socket.mode() & 0o777, socket.uid(), socket.gid()), (0o660, 0, group.as_raw()));
        assert_eq!(directory.mode() & 0o777, 0o711);
        // Whoever is let through to it finds nothing else.
        for entry in fs::read_dir("/run/limiterctl").unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert!(mode == 0o600 || entry.path().ends_with("app.sock"), "{:?} {mode:o}", entry.path());
        }
        // A mistake of the administrator's.
        fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o666)).unwrap();
    });
    assert_eq!(code(&IN_GROUP), 200);
    for stranger in &strangers {
        assert_eq!(code(stranger), 0, "an answer for {stranger:?}");
    }
}

#[test]
fn it_answers_as_its_description_says_and_nothing_else() {
    let scene = Scene::new();
    let _daemon = scene.attach("[app]\ngroup = \"daemon\"\n");
    let api: Value = serde_json::from_str(API).unwrap();
    assert_eq!(api["paths"].as_object().unwrap().keys().collect::<Vec<_>>(), ["/v1/why/{target}"]);
    let asked = answers(
        scene.nobody(&IN_GROUP),
        &[
            "GET /v1/why/google.com",
            "GET /v1/why/GOOGLE.com.",
            "GET /v1/why/10.0.0.9",
            "GET /v1/why/2001:db8::1",
        ],
    );
    for (code, answer) in &asked {
        assert_eq!(*code, 200);
        is_described(&api, "Why", answer);
        is_described(&api, "Limit", &answer["limits"][0]);
        assert_eq!((&answer["refused"], &answer["retry_after_ms"]), (&json!(false), &json!(0)));
    }
    assert_eq!(asked[0], asked[1], "a name is asked about in any case");
    assert_eq!(asked[0].1["limits"][0]["rule"], "google");
    assert_eq!(asked[2].1["limits"][0]["limit"], "2/hour burst 2");

    let wrong = answers(scene.nobody(&IN_GROUP), &["GET /v1/why/*.google.com", "GET /v1/why/a%20b"]);
    for (code, problem) in &wrong {
        assert_eq!(*code, 422);
        is_described(&api, "Problem", problem);
    }
    let elsewhere = ["/v1/status", "/v1/hosts", "/v1/sources", "/v1/reload", "/v1/why", "/metrics", "/"];
    for path in elsewhere {
        for method in ["GET", "POST"] {
            let answer = &answers(scene.nobody(&IN_GROUP), &[&format!("{method} {path}")])[0];
            assert_eq!(*answer, (404, json!({"cause": "there is no such thing here"})), "{method} {path}");
        }
    }
    assert_eq!(answers(scene.nobody(&IN_GROUP), &["POST /v1/why/google.com"])[0].0, 405);
}

/// All that is required is there, and all that is there is described.
#[track_caller]
fn is_described(api: &Value, schema: &str, value: &Value) {
    let schema = &api["components"]["schemas"][schema];
    let value = value.as_object().unwrap_or_else(|| panic!("{value}"));
    for key in schema["required"].as_array().unwrap() {
        assert!(value.contains_key(key.as_str().unwrap()), "no {key}: {value:?}");
    }
    for key in value.keys() {
        assert!(schema["properties"][key].is_object(), "{key} is not described");
    }
}

#[test]
fn a_reload_gives_it_to_another_group_or_takes_it_away() {
    let scene = Scene::new();
    let daemon = scene.attach("");
    assert!(!is_there(&scene));
    let code = |group: &str| {
        let flags = [&format!("--regid={group}"), "--clear-groups"];
        answers(scene.nobody(&flags), &WHY)[0].clone()
    };
    let told = scene.reload("[app]\ngroup = \"daemon\"\n").stdout;
    assert_eq!(told, "limiterctl: reloaded\n  applications: group: none -> daemon\n");
    assert_eq!((code(GROUP).0, code(OTHER)), (200, (0, json!("PermissionError"))));
    assert_eq!(scene.reload("[app]\ngroup = \"mail\"\n").code, 0);
    assert_eq!((code(OTHER).0, code(GROUP)), (200, (0, json!("PermissionError"))));

    let said = scene.reload("[app]\ngroup = \"nobody.is-called_so\"\n");
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("no group is called 'nobody.is-called_so' on this machine\n  make it: "),
        "{said:?}"
    );
    assert_eq!((code(OTHER).0, code(GROUP).0), (200, 0), "as before");
    assert_eq!(scene.reload("").code, 0);
    assert!(!is_there(&scene));

    assert_eq!(scene.reload("[app]\ngroup = \"mail\"\n").code, 0);
    drop(daemon.signal(Signal::SIGKILL));
    assert!(is_there(&scene), "it is stale");
    assert_eq!(code(OTHER), (0, json!("ConnectionRefusedError")));
    let daemon = scene.attach("[app]\ngroup = \"daemon\"\n");
    assert_eq!((code(GROUP).0, code(OTHER).0), (200, 0));
    drop(daemon.signal(Signal::SIGKILL));
    let daemon = scene.attach("");
    assert!(!is_there(&scene), "nobody is to ask any more");
    drop(daemon);
    let daemon = scene.attach("[app]\ngroup = \"daemon\"\n");
    drop(daemon.signal(Signal::SIGTERM));
    let modes = scene.machine.sandbox.run(|| fs::metadata("/run/limiterctl").unwrap().mode() & 0o777);
    assert_eq!((is_there(&scene), modes), (false, 0o700));
}

#[test]
fn a_group_that_is_not_there_is_found_before_anything_is_attached() {
    let scene = Scene::new();
    let path = scene.write("[app]\ngroup = \"nobody.is-called_so\"\n");
    let said = scene.machine.limiterctl(&["attach", "--config", &path]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("no group is called 'nobody.is-called_so' on this machine"), "{said:?}");
    assert!(!scene.machine.has_pins());
    let said = scene.machine.limiterctl(&["check", &path]);
    assert_eq!(said.code, 0);
    assert!(said.stderr.contains(":10:9: no group is called 'nobody.is-called_so'"), "{said:?}");
}

/// The handler in README.md, word by word, in a limited process: two visitors get the site's page, the third is told how long
/// to wait.
#[test]
fn the_handler_of_the_readme_tells_its_visitors_when_to_come_again() {
    let scene = Scene::new();
    let listener = scene.site.run(|| TcpListener::bind("0.0.0.0:80").unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(PAGE);
            }
        }
    });
    let _daemon = scene.attach("[app]\ngroup = \"daemon\"\n");
    let code = README.split("```").find_map(|block| block.strip_prefix("python\n")).unwrap();
    let mut command = scene.nobody(&IN_GROUP);
    scene.cgroup.place(&mut command);
    let runner = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/flask_handler.py");
    let said = Said::from(
        command
            .args(["-c", &fs::read_to_string(runner).unwrap(), code, &format!("http://{SITE}/"), "3"])
            .output()
            .unwrap(),
    );
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    let visits: Vec<(u16, Value, String)> =
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, third] = &visits[..] else { panic!("{visits:?}") };
    for visit in [first, second] {
        assert_eq!((visit.0, visit.2.as_str()), (200, "ok"));
    }
    let seconds: u64 = third.1["Retry-After"].as_str().unwrap().parse().unwrap();
    assert_eq!(third.0, 429);
    // An hour, less what has passed meanwhile.
    assert!((3000..=3600).contains(&seconds), "{third:?}");
    assert!(third.2.contains(&format!("{seconds} s")), "{third:?}");
    // A site that is down is something else.
    let mut command = scene.nobody(&IN_GROUP);
    scene.cgroup.place(&mut command);
    let said = Said::from(
        command
            .args(["-c", &fs::read_to_string(runner).unwrap(), code, "http://10.0.0.1:9/", "1"])
            .output()
            .unwrap(),
    );
    assert!(said.stdout.starts_with("[502, {}, "), "{said:?}");
}
