//! What bad input gets: exit code 2, one line of cause, one of cure, and nothing left attached.

use std::process::Command;

use limiter_tests::daemon::{Machine, Said};
use limiter_tests::net::{Host, LinkOptions, XdpAction, link};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

const GOOD: [&str; 7] = ["attach", "--interface", "eth0", "--port", "80", "--rate", "10/s"];

/// A machine with one interface.
struct Scene {
    machine: Machine,
    _peer: Host,
}

impl Scene {
    fn new() -> Self {
        let (machine, peer) = Machine::with_client(LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        Self { machine, _peer: peer }
    }

    /// Holds that a command fails as a whole, with these two lines.
    #[track_caller]
    fn fails(&self, arguments: &[&str], cause: &str, cure: &str) {
        self.failed(&self.machine.limiterctl(arguments), cause, cure);
    }

    #[track_caller]
    fn failed(&self, said: &Said, cause: &str, cure: &str) {
        assert_eq!(said.code, 2, "{said:?}");
        let lines: Vec<_> = said.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "a line of cause and one of cure: {said:?}");
        assert!(lines[0].starts_with("limiterctl: "), "{said:?}");
        assert!(lines[0].contains(cause), "the cause should say '{cause}': {said:?}");
        assert!(lines[1].contains(cure), "the cure should say '{cure}': {said:?}");
        assert_eq!(self.machine.xdp("eth0"), "", "something is left attached");
        assert!(!self.machine.has_pins(), "something is left pinned");
    }
}

fn with<'a>(flag: &'a str, value: &'a str) -> Vec<&'a str> {
    let mut arguments = GOOD.to_vec();
    match arguments.iter().position(|argument| *argument == flag) {
        Some(place) => arguments[place + 1] = value,
        None => arguments.extend([flag, value]),
    }
    arguments
}

#[test]
fn not_root() {
    let scene = Scene::new();
    let mut command = scene.machine.host.command_in(&scene.machine.sandbox, "setpriv");
    let nobody =
        ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    // A copy that nobody may execute wherever the build directory is.
    let copy = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in("/tmp");
    let copy = copy.expect("a directory to spare");
    let binary = copy.path().join("limiterctl");
    // By a process of its own: nobody can run what another test's child still holds open for writing.
    let copied = Command::new("cp").arg(limiter_tests::daemon::binary()).arg(&binary).status();
    assert!(copied.expect("cp is there").success(), "the binary cannot be copied");
    let output = command.args(nobody).arg(&binary).args(GOOD).output().expect("setpriv is there");
    scene.failed(&output.into(), "needs the rights of root (CAP_BPF is missing)", "sudo limiterctl");
}

#[test]
fn no_such_interface() {
    Scene::new().fails(&with("--interface", "eth7"), "no interface is called 'eth7'", "here are: lo, eth0");
}

#[test]
fn an_interface_twice() {
    Scene::new().fails(&with("--interface", "eth0,eth0"), "interface 'eth0' is named twice", "name it once");
}

#[test]
fn another_xdp_program_is_there() {
    let scene = Scene::new();
    let other = scene.machine.host.attach_xdp("eth0", XdpAction::Pass);
    let said = scene.machine.limiterctl(&GOOD);
    let there = scene.machine.xdp("eth0");
    let id =
        there.split("id ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("ip tells its id");
    assert!(said.stderr.contains(&format!("another XDP program (id {id}, name '")), "{said:?}\n{there}");
    drop(other);
    scene.failed(&said, "cannot attach to eth0", "ip link set dev eth0 xdp off");
}

#[test]
fn of_two_interfaces_the_second_is_taken_and_the_first_is_let_go() {
    let scene = Scene::new();
    let peer = Host::new("second client");
    link(&peer, "eth0", &scene.machine.host, "eth1", LinkOptions { xdp_tx: false, ..LinkOptions::default() });
    let _other = scene.machine.host.attach_xdp("eth1", XdpAction::Pass);
    scene.fails(&with("--interface", "eth0,eth1"), "cannot attach to eth1", "xdp off");
}

#[test]
fn no_btf() {
    let scene = Scene::new();
    scene.machine.sandbox.run(|| {
        mount(Some("tmpfs"), "/sys/kernel/btf", Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("sysfs is mounted");
    });
    scene.fails(&GOOD, "this kernel has no BTF", "CONFIG_DEBUG_INFO_BTF=y");
}

#[test]
fn a_kernel_below_the_floor() {
    let scene = Scene::new();
    let mut command = scene.machine.host.command_in(&scene.machine.sandbox, "setarch");
    let binary = limiter_tests::daemon::binary();
    let output = command.arg("--uname-2.6").arg(binary).args(GOOD).output().expect("setarch is there");
    scene.failed(
        &output.into(),
        "needs 5.18 for XDP on frames of several buffers",
        "boot kernel 5.18 or newer",
    );
}

#[test]
fn no_bpffs() {
    let scene = Scene::new();
    scene.machine.sandbox.run(|| {
        mount(Some("tmpfs"), "/sys/fs/bpf", Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("sysfs is mounted");
    });
    scene.fails(&GOOD, "the BPF file system is not mounted", "mount -t bpf bpf /sys/fs/bpf");
}

#[test]
fn what_cannot_be_read_is_pointed_at() {
    let scene = Scene::new();
    for (flag, value, cause) in [
        (
            "--rate",
            "900/fortnight",
            "--rate '900/fortnight': 'fortnight' at character 5 is not a unit of time",
        ),
        ("--rate", "ten/s", "--rate 'ten/s': 'ten' at character 1 is not a number above 0"),
        ("--total-rate", "5/s brust 3", "--total-rate '5/s brust 3': 'brust' at character 5 is not 'burst'"),
        ("--port", "80,http", "--port '80,http': 'http' at character 4 is not a port"),
        ("--port", "80,90-85", "--port '80,90-85': '90-85' at character 4 ends before it begins"),
        (
            "--source-prefix",
            "33,64",
            "--source-prefix '33,64': '33' at character 1 is not a length from 1 to 32",
        ),
        ("--backoff", "soon", "--backoff 'soon'"),
    ] {
        scene.fails(&with(flag, value), cause, "write ");
    }
}

#[test]
fn a_port_twice() {
    let scene = Scene::new();
    scene.fails(&with("--port", "80,443,80"), "'80' at character 8 names a port of '80' again", "none twice");
    let twice = [&GOOD[..], &["--port", "79-81"]].concat();
    scene.fails(&twice, "'79-81' at character 4 names a port of '80' again", "none twice");
}

#[test]
fn a_rate_that_cannot_be_held() {
    let scene = Scene::new();
    scene.fails(&with("--rate", "20000000/s"), "is too fast", "the highest rate is 10000000/s");
    scene.fails(&with("--rate", "1/hour burst 100"), "takes too long to recover", "24 hours");
    scene.fails(&with("--backoff", "2days"), "takes too long to recover", "24 hours");
    scene.fails(&["attach", "--interface", "eth0", "--port", "80"], "limits nothing", "--rate");
}

#[test]
fn no_memory_for_a_map() {
    let memory = nix::sys::sysinfo::sysinfo().expect("the kernel knows its memory").ram_total();
    // The kernel refuses at once what is larger than all there is.
    let sources = (memory / 8).next_power_of_two() * 2;
    assert!(sources <= 1 << 34, "this machine has more memory than the largest table asks for");
    Scene::new().fails(
        &with("--max-sources", &sources.to_string()),
        "no memory for map SOURCES",
        "--max-sources",
    );
}

#[test]
fn a_second_attach_while_one_runs() {
    let scene = Scene::new();
    let daemon = scene.machine.attach(&GOOD[1..]);
    let said = scene.machine.limiterctl(&GOOD);
    assert_eq!(said.code, 2, "{said:?}");
    let pid = daemon.pid();
    assert!(said.stderr.contains(&format!("limiterctl attach runs already (process {pid})")), "{said:?}");
    assert!(said.stderr.contains("\n  end it with: limiterctl detach"), "{said:?}");
    assert_eq!(scene.machine.status()["rules"].as_array().map(Vec::len), Some(1), "the first goes on");
    let (status, _) = daemon.signal(Signal::SIGTERM);
    assert!(status.success());
}

/// A cgroup of the test's own, and limits for it.
fn outbound<'a>(cgroup: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["attach", "--cgroup", cgroup][..], more].concat()
}

#[test]
fn what_cannot_be_held_for_destinations() {
    let scene = Scene::new();
    let cgroup = limiter_tests::cgroup::Cgroup::new();
    let path = cgroup.path().to_str().expect("a readable path");
    let mount = cgroup.path().parent().and_then(std::path::Path::to_str).expect("a readable path");
    let rate = ["--default-rate", "10/s"];
    for (arguments, cause, cure) in [
        (outbound(path, &[]), "no limit on what its processes may connect to", "--default-rate"),
        (
            outbound(path, &["--default-rate", "10"]),
            "--default-rate '10': '10' at character 1 is no limit",
            "20/s",
        ),
        (
            outbound(path, &["--host", "google.com"]),
            "--host 'google.com': 'google.com' at character 1 has no '='",
            "= 20/s",
        ),
        (
            outbound(path, &["--host", "*google.com = 1/s"]),
            "is a '*' that is not the whole first label",
            "*.google.com",
        ),
        (
            outbound(path, &["--host", "a.com = 1/s", "--host", "A.com = 2/s"]),
            "two rules list 'a.com'",
            "in one rule only",
        ),
        (outbound(path, &["--host", "a.com = 20000000/s"]), "is too fast", "10000000/s"),
        (
            outbound(path, &["--default-rate", "10/s", "--errno", "EAGAIN"]),
            "they would hang",
            "choose EDQUOT",
        ),
        (
            outbound(path, &["--default-rate", "10/s", "--exempt", "a.com"]),
            "--exempt 'a.com' is a name",
            "networks",
        ),
        (outbound("no/such/group", &rate), "there is no cgroup 'no/such/group'", "mkdir"),
        (outbound("shop.service", &rate), "no unit 'shop.service' runs", "systemctl start shop.service"),
        (outbound(mount, &rate), "the root cgroup holds every process", "--cgroup shop.service"),
        (outbound("/etc", &rate), "'/etc' is no cgroup", "write a path below that"),
    ] {
        scene.fails(&arguments, cause, cure);
    }
}

#[test]
fn a_number_of_open_connections_that_makes_no_sense() {
    let scene = Scene::new();
    for number in ["0", "65536", "1.5", "many"] {
        let said = scene.machine.limiterctl(&with("--max-open", number));
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains("--max-open") && said.stderr.contains(number), "{said:?}");
        assert!(!scene.machine.has_pins(), "something is left pinned");
    }
}
