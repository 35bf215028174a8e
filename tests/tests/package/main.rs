//! The unit for systemd: what systemd says of it, the rights that it asks for, and what the daemon tells the service manager.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod service;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use limiter_tests::daemon::{Said, binary};
use nix::sys::signal::Signal;

use service::{FILE, Scene};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/limiterctl.service");

/// The value of a key of the unit.
fn value(key: &str) -> String {
    let unit = fs::read_to_string(UNIT).unwrap();
    let found = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    found.unwrap_or_else(|| panic!("the unit has no {key}"))
}

/// What systemd-analyze says, where it is installed.
fn analyze(arguments: &[&str]) -> Option<Said> {
    let output = Command::new("systemd-analyze").args(arguments).env("SYSTEMD_COLORS", "0").output();
    output
        .map_err(|_| println!("systemd-analyze is not installed: the unit is not checked"))
        .ok()
        .map(Said::from)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limiterctl.service");
    // It is not installed here; all else stays as it is.
    let unit = fs::read_to_string(UNIT).unwrap().replace("/usr/bin/limiterctl", binary().to_str().unwrap());
    fs::write(&path, unit).unwrap();
    let Some(said) = analyze(&["verify", "--man=no", path.to_str().unwrap()]) else { return };
    assert_eq!((said.code, said.stderr.as_str(), said.stdout.as_str()), (0, "", ""));
}

#[test]
fn systemd_says_that_the_unit_is_confined_well() {
    // 50 tenths of a point: where "medium" begins.
    let Some(said) = analyze(&["security", "--offline=true", "--threshold=50", UNIT]) else { return };
    let line = said.stdout.lines().last().unwrap_or_default();
    assert!(said.code == 0 && line.contains(" OK "), "{said:?}");
}

/// Each takes all off again, so that the next one finds nothing.
#[test]
fn with_the_rights_of_the_unit_all_works_and_without_any_of_them_nothing_is_begun() {
    let rights = value("CapabilityBoundingSet");
    let rights: Vec<_> = rights.split(' ').collect();
    let scene = Scene::new();
    let config = scene.config();
    let attach = ["attach", "--keep", "--config", &config];

    let mut service = scene.start(scene.confined(&rights, &attach));
    let ready = service.news();
    assert!(ready.starts_with("READY=1\n"), "{ready}: {:?}", service.end());
    for verb in [
        &["status"][..],
        &["deny", "add", "203.0.113.0/24"],
        &["list", "sources"],
        &["list", "hosts"],
        &["list", "rules"],
    ] {
        let said = Said::from(scene.confined(&rights, verb).output().unwrap());
        assert_eq!(said.code, 0, "{verb:?}: {said:?}");
    }
    scene.write(&FILE.replace("10/s", "20/s"));
    let said = Said::from(scene.confined(&rights, &["reload"]).output().unwrap());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    service.signal(Signal::SIGKILL);
    drop(service);

    let mut service = scene.start(scene.confined(&rights, &attach));
    let ready = service.news();
    assert!(ready.starts_with("READY=1\n"), "a killed daemon's limits: {ready}: {:?}", service.end());
    drop(service);
    let said = Said::from(scene.confined(&rights, &["detach"]).output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");

    for missing in &rights {
        let less: Vec<_> = rights.iter().copied().filter(|right| right != missing).collect();
        let mut service = scene.start(scene.confined(&less, &attach));
        assert_eq!(service.next(), "", "without {missing} it says that it is ready");
        service.child.wait().unwrap();
        let said = service.end();
        assert_eq!(said.code, 2, "{missing}: {said:?}");
        let [cause, cure] = said.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{said:?}") };
        assert!(cause.contains(missing) && cure.contains("CapabilityBoundingSet="), "{said:?}");
        assert!(!scene.server.has_pins() && scene.server.xdp("eth0").is_empty(), "{missing}");
    }
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_end() {
    let scene = Scene::new();
    let config = scene.config();
    for keep in [true, false] {
        let mut arguments = vec!["attach", "--config", &config];
        arguments.extend(keep.then_some("--keep"));
        let mut service = scene.start(scene.server.command(&arguments));
        let ready = service.news();
        assert!(ready.starts_with("READY=1\nSTATUS=limits in force on eth0, "), "{ready}");
        assert_ne!(scene.server.xdp("eth0"), "", "it was said before it was true");

        for file in [FILE.replace("10/s", "20/s"), "nonsense".into(), FILE.into()] {
            scene.write(&file);
            service.signal(Signal::SIGHUP);
            let news = service.news();
            let since =
                news.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.split_once('\n'));
            let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap().tv_sec();
            let since: i64 = since.unwrap_or_else(|| panic!("{news}")).0.parse().unwrap();
            assert!((now - since / 1_000_000).abs() < 60, "{news}: it is {now} s");
            assert_eq!(service.news(), ready, "as before, also after a reload that failed");
        }

        service.signal(Signal::SIGTERM);
        let stopping = service.news();
        let stays = if keep { "stay in force" } else { "taking the limits off" };
        assert!(stopping.starts_with("STOPPING=1\n") && stopping.contains(stays), "{stopping}");
        assert!(service.child.wait().unwrap().success());
        assert_eq!(scene.server.has_pins(), keep);
    }
}

#[test]
fn the_watchdog_is_fed_for_as_long_as_the_daemon_goes_round() {
    let scene = Scene::new();
    let config = scene.config();
    let mut attach = scene.server.command(&["attach", "--config", &config]);
    attach.env("WATCHDOG_USEC", "200000");
    let mut service = scene.start(attach);
    assert!(service.next().starts_with("READY=1\n"));
    for _ in 0..10 {
        assert_eq!(service.next(), "WATCHDOG=1\n");
    }
    // What stands still feeds nobody.
    service.signal(Signal::SIGSTOP);
    service.socket.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut buffer = [0; 64];
    while service.socket.recv(&mut buffer).is_ok() {}
    std::thread::sleep(Duration::from_millis(500));
    assert!(service.socket.recv(&mut buffer).is_err(), "a stopped process was fed for");
    service.socket.set_nonblocking(false).unwrap();
    service.signal(Signal::SIGCONT);
    assert_eq!(service.next(), "WATCHDOG=1\n");
}

#[test]
fn without_a_watchdog_or_a_service_manager_nobody_is_told_anything() {
    let scene = Scene::new();
    let config = scene.config();
    let mut service = scene.start(scene.server.command(&["attach", "--config", &config]));
    assert!(service.next().starts_with("READY=1\n"));
    std::thread::sleep(Duration::from_millis(1500));
    service.signal(Signal::SIGTERM);
    assert!(service.next().starts_with("STOPPING=1\n"), "something came in between");
    assert!(service.child.wait().unwrap().success());
    let daemon = scene.server.attach(&["--config", &config]);
    let (status, stderr) = daemon.signal(Signal::SIGTERM);
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

/// The documentation must give a reason for each line of the unit that asks for or forbids something.
#[test]
fn each_right_and_each_switch_is_explained() {
    let page = fs::read_to_string(Path::new(UNIT).with_file_name("../docs/systemd.md")).unwrap();
    let unit = fs::read_to_string(UNIT).unwrap();
    let (_, service) = unit.split_once("[Service]\n").unwrap();
    let (service, _) = service.split_once("[Install]").unwrap();
    for line in service.lines().filter(|line| !line.is_empty()) {
        let (key, _) = line.split_once('=').unwrap();
        assert!(page.contains(&format!("`{key}")), "docs/systemd.md says nothing of {key}");
    }
    for right in value("CapabilityBoundingSet").split(' ') {
        assert!(page.contains(&format!("| `{right}`")), "docs/systemd.md says nothing of {right}");
    }
}
