//! There is no room left below /run: what is in force stays, and is told of; what cannot be noted is not done.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};

use limiter_tests::control::ask;
use limiter_tests::daemon::Machine;
use limiter_tests::net::LinkOptions;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

const RUN: &str = "/run/limiterctl";
const FILLING: &str = "/run/limiterctl/filling";
const STATE: &str = "/run/limiterctl/state.json";

fn text(rules: &[&str]) -> String {
    let rules = rules.iter().zip(80..).map(|(name, port)| {
        format!(
            "[[inbound.rule]]\nname = \"{name}\"\nports = [{port}]\nrate = \"1/hour\"\naction = \"drop\"\n"
        )
    });
    "[inbound]\ninterfaces = [\"eth0\"]\n".to_owned() + &rules.collect::<String>()
}

/// Gives the daemon a small place for its files.
fn give_little_room(server: &Machine) {
    server.sandbox.run(|| {
        fs::create_dir_all(RUN).unwrap();
        mount(Some("tmpfs"), RUN, Some("tmpfs"), MsFlags::empty(), Some("size=256k,mode=755")).unwrap();
    });
}

/// Uses up what is left of it.
fn fill(server: &Machine) {
    server.sandbox.run(|| {
        let mut file = OpenOptions::new().create(true).append(true).open(FILLING).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    });
}

#[test]
fn on_a_full_disk_the_control_socket_answers_and_a_reload_that_cannot_be_noted_changes_nothing() {
    let (server, _client) = Machine::with_client(LinkOptions { xdp_tx: false, ..LinkOptions::default() });
    give_little_room(&server);
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("limiterctl.toml");
    fs::write(&file, text(&["web"])).unwrap();
    let daemon = server.attach(&["--config", file.to_str().unwrap()]);
    let (before, program) = (server.status(), server.xdp("eth0"));
    let state = || server.sandbox.run(|| fs::read_to_string(STATE).unwrap());
    let noted = state();

    fill(&server);
    for _ in 0..100 {
        assert_eq!(ask(&server, "GET", "/v1/status", None), (200, before.clone()));
    }
    // So many rules that their names need more room than the state had.
    let names: Vec<_> = (0..100).map(|number| format!("rule-{number}")).collect();
    fs::write(&file, text(&names.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    let (code, problem) = ask(&server, "POST", "/v1/reload", Some("{}"));
    assert_eq!(code, 422, "{problem}");
    assert!(problem.to_string().contains("No space left on device"), "{problem}");
    assert_eq!((server.status(), server.xdp("eth0"), state()), (before, program, noted));

    server.sandbox.run(|| fs::remove_file(FILLING).unwrap());
    let (code, changed) = ask(&server, "POST", "/v1/reload", Some("{}"));
    assert_eq!((code, changed["changes"].as_array().map(Vec::is_empty)), (200, Some(false)), "{changed}");
    assert_eq!(server.status()["rules"].as_array().unwrap().len(), 100);
    let (_, stderr) = daemon.signal(Signal::SIGTERM);
    assert!(stderr.contains("No space left on device"), "who runs it reads of it too: {stderr}");
    assert!(!server.has_pins());
}

#[test]
fn on_a_full_disk_nothing_is_attached_and_the_cause_is_said() {
    let (server, _client) = Machine::with_client(LinkOptions::default());
    give_little_room(&server);
    fill(&server);
    let said = server.limiterctl(&["attach", "--interface", "eth0", "--port", "80", "--rate", "1/hour"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("No space left on device"), "{said:?}");
    assert_eq!((server.has_pins(), server.xdp("eth0")), (false, String::new()));
    assert!(!server.sandbox.run(|| fs::exists("/run/limiterctl/control.sock").unwrap()));
}
