//! `--metrics`, and a place that is taken.

use std::fs;
use std::net::{TcpListener, TcpStream};

use super::{ADDRESS, Scene, get};
use nix::sys::signal::Signal;

const ELSEWHERE: &str = "127.0.0.1:19469";

#[test]
fn metrics_are_served_where_the_flag_says_or_nowhere() {
    let scene = Scene::new();
    let host = &scene.machine.host;
    let daemon = scene.attach(&["--metrics", ELSEWHERE]);
    assert_eq!(get(host, ELSEWHERE, "/metrics").status(), 200);
    assert!(host.run(|| TcpStream::connect(ADDRESS)).is_err(), "and nowhere else");
    drop(daemon.signal(Signal::SIGTERM));
    let daemon = scene.attach(&["--metrics", "off"]);
    assert!(host.run(|| TcpStream::connect(ADDRESS)).is_err());
    drop(daemon);
}

#[test]
fn a_taken_default_is_a_warning_and_a_taken_address_an_error() {
    let scene = Scene::new();
    let host = &scene.machine.host;
    let _other = host.run(|| [ADDRESS, ELSEWHERE].map(|address| TcpListener::bind(address).unwrap()));

    let (status, stderr) = scene.attach(&[]).signal(Signal::SIGTERM);
    assert!(status.success(), "{stderr}");
    let cause = "limiterctl: cannot serve metrics at 127.0.0.1:9469: another process listens there\n";
    assert!(stderr.starts_with(cause) && stderr.contains("--metrics off"), "{stderr}");

    for (address, cause) in [
        (ELSEWHERE, "cannot serve metrics at 127.0.0.1:19469: another process listens there"),
        (ADDRESS, "cannot serve metrics at 127.0.0.1:9469: another process listens there"),
        ("192.0.2.200:1", "cannot serve metrics at 192.0.2.200:1: no interface that is up has this address"),
        ("9469", "--metrics '9469' is no address with a port"),
    ] {
        // Where it attaches all the same, it ends.
        let arguments = [
            "attach",
            "--for",
            "5s",
            "--interface",
            "eth0",
            "--port",
            "80",
            "--rate",
            "1/s",
            "--metrics",
            address,
        ];
        let said = scene.machine.limiterctl(&arguments);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.starts_with(&format!("limiterctl: {cause}\n  ")), "{said:?}");
        assert!(!scene.machine.has_pins(), "{address}: nothing is attached");
    }
}

#[test]
fn a_reload_leaves_metrics_where_they_are_and_refuses_a_key_for_them() {
    let scene = Scene::new();
    let host = &scene.machine.host;
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |begin: &str, rate: &str| {
        let rule = format!("[[inbound.rule]]\nname = \"web\"\nports = [80]\nrate = \"{rate}\"\n");
        fs::write(file.path(), format!("{begin}[inbound]\ninterfaces = [\"eth0\"]\n{rule}")).unwrap();
    };
    write("", "1/s");
    let _daemon = scene.machine.attach(&["--config", file.path().to_str().unwrap(), "--metrics", ELSEWHERE]);
    for (begin, rate, code) in [("", "2/s", 0), ("metrics = \"127.0.0.1:9469\"\n", "3/s", 2)] {
        write(begin, rate);
        let said = scene.machine.limiterctl(&["reload"]);
        assert_eq!(said.code, code, "{said:?}");
        let cure = "limiterctl attach --metrics";
        assert!(
            code == 0 || said.stderr.contains("no key 'metrics'") && said.stderr.contains(cure),
            "{said:?}"
        );
        assert_eq!(get(host, ELSEWHERE, "/metrics").status(), 200);
        assert!(host.run(|| TcpStream::connect(ADDRESS)).is_err(), "and nowhere else");
    }
    assert_eq!(scene.machine.status()["rules"][0]["rate"], "2/second burst 5");
}
