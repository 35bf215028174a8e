//! Refusals on their way to systemd's journal.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use super::Scene;

/// Of each datagram a line for each field; numbers of bytes stand between, and are of no interest.
#[test]
fn under_systemd_refusals_are_in_the_journal_with_fields_to_look_for() {
    const JOURNAL: &str = "/run/systemd/journal/socket";
    let scene = Scene::new();
    let journal = scene.server.sandbox.run(|| {
        fs::create_dir_all("/run/systemd/journal").unwrap();
        UnixDatagram::bind(JOURNAL).unwrap()
    });
    journal.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut daemon = scene
        .server
        .command(&[
            "attach",
            "--interface",
            "eth0",
            "--port",
            "80",
            "--rate",
            "1/hour burst 3",
            "--action",
            "drop",
        ])
        .env("JOURNAL_STREAM", "8:1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut datagram = [0; 4096];
    let entry = (0..300).find_map(|_| {
        scene.send_syns(4, "198.51.100.7");
        // Nothing is in the first one, by which it is tried whether anybody listens.
        let length = journal.recv(&mut datagram).ok().filter(|length| *length > 0)?;
        Some(String::from_utf8_lossy(&datagram[..length]).into_owned())
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let entry = entry.expect("the journal heard nothing");
    for (field, value) in [
        ("SYSLOG_IDENTIFIER", "limiterctl"),
        ("MESSAGE", "from 198.51.100.7 to port 80: refused by rate of rule command-line; try again in"),
        ("LIMITERCTL_KIND", "refusal"),
        ("LIMITERCTL_DIRECTION", "inbound"),
        ("LIMITERCTL_RULE", "command-line"),
        ("LIMITERCTL_REASON", "rate"),
        ("LIMITERCTL_ADDRESS", "198.51.100.7"),
        ("LIMITERCTL_PORT", "80"),
        ("LIMITERCTL_SOURCE", "198.51.100.7/32"),
    ] {
        let begins =
            entry.lines().position(|line| line == field).unwrap_or_else(|| panic!("{field}: {entry:?}"));
        let text = entry.lines().skip(begins + 1).collect::<Vec<_>>().join("\n");
        assert!(
            text.trim_start_matches(|c: char| c.is_control() || c == '\u{fffd}').contains(value),
            "{field}: {entry:?}"
        );
    }
}
