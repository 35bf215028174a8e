//! Programs that somebody else takes off.

use std::fs;
use std::path::Path;

use limiter_tests::bpf;
use limiter_tests::cgroup::Cgroup;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::{LINKS, Scene, on};

/// By a detached link, and by one that is unpinned; in the meantime nobody says that all is well.
#[test]
fn what_somebody_takes_off_is_put_on_again() {
    let scene = Scene::new();
    scene.link("eth0");
    let mut daemon = scene.server.attach(&on("eth0", &["--max-open", "9"]));
    scene.send_syns("eth0", 5, 1);
    scene.judged(3, 2);
    let pid = Pid::from_raw(daemon.pid() as i32);
    let links = scene.links();
    assert_eq!(links.len(), 2, "an interface, and the root of all cgroups: {links:?}");
    for (round, take_off) in [bpf::detach, |pin: &Path| fs::remove_file(pin)].into_iter().enumerate() {
        kill(pid, Signal::SIGSTOP).unwrap();
        scene
            .server
            .sandbox
            .run(|| links.iter().for_each(|link| take_off(&Path::new(LINKS).join(link)).unwrap()));
        // The kernel takes off what is unpinned a moment later.
        while !scene.server.xdp("eth0").is_empty() {}
        if round == 0 {
            assert_eq!(scene.server.status()["interfaces"][0]["active"], json!(false));
            assert!(
                scene
                    .server
                    .limiterctl(&["status"])
                    .stdout
                    .contains("eth0: native XDP; NOT ATTACHED ANY MORE")
            );
        }
        kill(pid, Signal::SIGCONT).unwrap();
        // In either order.
        daemon.wait_for(": attached again").unwrap();
        daemon.wait_for(": attached again").unwrap();
        println!("{:?}", &daemon.said[daemon.said.len() - 2..]);
        let said = daemon.said.join("\n");
        assert!(said.contains(
            "eth0 had lost its program: attached again, native XDP; nothing was limited there for up to"
        ));
        assert!(said.contains("connections were not counted any more: attached again"), "{said}");
        scene.send_syns("eth0", 5, 1);
        scene.judged(3, 7 + 5 * round as u64);
        assert_eq!(scene.links(), links);
    }
    drop(daemon.signal(Signal::SIGTERM));
    assert!(!scene.server.has_pins());
}

/// Whose program is there instead stays; who waits says why.
#[test]
fn another_program_on_an_interface_is_left_alone_until_it_goes() {
    let scene = Scene::new();
    let mut daemon = scene.server.attach(&on("eth*", &[]));
    scene.link("eth0");
    daemon.wait_for("eth0 is there: attached, native XDP").unwrap();
    kill(Pid::from_raw(daemon.pid() as i32), Signal::SIGSTOP).unwrap();
    let link = Path::new(LINKS).join(&scene.links()[0]);
    scene.server.sandbox.run(|| bpf::detach(&link).unwrap());
    let other = scene.server.host.attach_xdp("eth0", limiter_tests::net::XdpAction::Pass);
    kill(Pid::from_raw(daemon.pid() as i32), Signal::SIGCONT).unwrap();
    scene.waits_for(&["eth0"]);
    assert_eq!(scene.server.status()["interfaces"][0]["active"], json!(false));
    let said = scene.server.limiterctl(&["status"]).stdout;
    assert!(
        said.contains("waiting for interface eth0: cannot attach to eth0: another XDP program (id "),
        "{said}"
    );
    drop(other);
    daemon.wait_for("eth0 had lost its program: attached again, native XDP").unwrap();
    scene.waits_for(&[]);
}

#[test]
fn the_programs_of_a_cgroup_are_put_on_again() {
    let scene = Scene::new();
    let cgroup = Cgroup::new();
    let mut daemon = scene.server.attach(&[
        "--cgroup",
        cgroup.path().to_str().unwrap(),
        "--default-rate",
        "1/hour burst 3",
    ]);
    let links = scene.links();
    let pid = Pid::from_raw(daemon.pid() as i32);
    kill(pid, Signal::SIGSTOP).unwrap();
    let connect4 = links.iter().find(|link| link.ends_with("connect4")).unwrap();
    scene.server.sandbox.run(|| bpf::detach(&Path::new(LINKS).join(connect4)).unwrap());
    let said = scene.server.limiterctl(&["status"]).stdout;
    assert!(said.contains("; NOT ATTACHED ANY MORE"), "{said}");
    kill(pid, Signal::SIGCONT).unwrap();
    daemon.wait_for("had lost programs: attached again; nothing was limited there for up to ").unwrap();
    scene.had_gap("/outbound/cgroups/0");
    assert_eq!(scene.links(), links);
}
