//! What is wanted and not there when limiterctl starts.

use std::fs;

use limiter_tests::cgroup::Cgroup;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{Scene, on};

/// At boot the limiter comes up first. It may even be killed before the rest does.
#[test]
fn what_a_file_names_may_come_later() {
    let scene = Scene::new();
    let (parent, files) = (Cgroup::new(), tempfile::tempdir().unwrap());
    let file = files.path().join("limiterctl.toml");
    let unit = parent.path().join("system.slice/shop.service");
    let text = format!(
        "[inbound]\ninterfaces = [\"eth7\"]\n[[inbound.rule]]\nname = \"web\"\nports = [\"80\"]\n\
         rate = \"1/hour burst 3\"\naction = \"drop\"\n[outbound]\ncgroups = [\"{}\"]\ndefault = \"1/hour burst 2\"\n",
        unit.display()
    );
    fs::write(&file, text).unwrap();
    let attach = ["--config", file.to_str().unwrap()];
    drop(scene.server.attach(&attach).signal(Signal::SIGKILL));
    let mut daemon = scene.server.attach(&attach);
    let status = scene.server.status();
    assert_eq!((&status["mode"], &status["interfaces"]), (&json!("enforce"), &json!([])), "{status}");
    assert_eq!(status["waiting"], json!([unit, "eth7"]));

    scene.link("eth7");
    daemon.wait_for("eth7 is there: attached, native XDP; nothing was limited there for ").unwrap();
    println!("{}", daemon.said.last().unwrap());
    scene.send_syns("eth7", 5, 1);
    scene.judged(3, 2);
    scene.had_gap("/interfaces/0");
    // The way there is made part by part.
    let slice = parent.child("system.slice");
    let _unit = slice.child("shop.service");
    daemon.wait_for("shop.service is there: attached; nothing was limited there for ").unwrap();
    println!("{}", daemon.said.last().unwrap());
    scene.had_gap("/outbound/cgroups/0");
    scene.waits_for(&[]);

    let (status, stderr) = daemon.signal(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    let lines: Vec<_> = stderr.lines().collect();
    let cgroup = format!("limiterctl: waiting for cgroup {0}: there is no cgroup '{0}'", unit.display());
    assert_eq!(
        lines,
        [
            "limiterctl: going on with what an earlier limiterctl had attached",
            &cgroup,
            "limiterctl: waiting for interface eth7: it is not there"
        ]
    );
    assert!(!scene.server.has_pins());
}

/// Who types a name is there to see that it is wrong; a service that keeps its limits is not.
#[test]
fn what_is_named_by_a_flag_must_be_there_unless_it_is_kept() {
    let scene = Scene::new();
    let said = scene.server.limiterctl(&[&["attach"][..], &on("eth7", &[])].concat());
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.starts_with("limiterctl: no interface is called 'eth7'\n"), "{said:?}");
    let daemon = scene.server.attach(&on("eth7,ppp*", &["--keep"]));
    assert_eq!(scene.server.status()["waiting"], json!(["eth7", "ppp*"]));
    assert_eq!(scene.server.limiterctl(&["detach"]).code, 0);
    assert_eq!(daemon.wait().0.code(), Some(0));
    assert_eq!(scene.server.status()["mode"], json!("off"));
    assert_eq!(scene.server.status()["interfaces"], Value::Array(Vec::new()));
}
