//! The package for Debian, installed, upgraded and purged on the running system, whose files stay as they are: what is written
//! goes to layers above them that only this test sees.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use limiter_tests::daemon::{Machine, Said, binary};
use limiter_tests::net::{Host, LinkOptions};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

const CONFIG: &str = "/etc/limiterctl/limiterctl.toml";
const FILE: &str = r#"[inbound]
interfaces = ["eth0"]
[[inbound.rule]]
name = "web"
ports = [80]
rate = "10/s"
"#;

/// A server that packages are installed on.
struct Scene {
    server: Machine,
    package: PathBuf,
    _files: TempDir,
    _client: Host,
}

impl Scene {
    /// `None` where packages cannot be built or tried.
    fn new() -> Option<Self> {
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            println!("dpkg-deb is not installed: the package is not tried");
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let xtask = binary().with_file_name("xtask");
        let mut command = Command::new(&xtask);
        command.arg("package").arg("--limiterctl").arg(binary()).arg("--out").arg(files.path());
        let built =
            Said::from(command.output().unwrap_or_else(|error| panic!("cargo build -p xtask: {error}")));
        assert_eq!(built.code, 0, "{built:?}");

        let (server, client) = Machine::with_client(LinkOptions::default());
        server.sandbox.run(|| ["etc", "usr", "var"].map(cover));
        let package = PathBuf::from(built.stdout.trim());
        Some(Self { server, package, _files: files, _client: client })
    }

    #[track_caller]
    fn dpkg(&self, arguments: &[&str]) -> Said {
        let mut dpkg = self.server.host.command_in(&self.server.sandbox, "dpkg");
        // Images for containers often leave out manuals and documentation.
        dpkg.args(["--path-include=/usr/share/*"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        let said = Said::from(dpkg.output().unwrap());
        assert_eq!(said.code, 0, "{said:?}");
        said
    }

    #[track_caller]
    fn install(&self) {
        self.dpkg(&["--install", self.package.to_str().unwrap()]);
    }

    /// The verb as the package has installed it.
    fn limiterctl(&self, arguments: &[&str]) -> Said {
        let mut command = self.server.host.command_in(&self.server.sandbox, "/usr/bin/limiterctl");
        command.args(arguments).output().unwrap().into()
    }

    fn exists(&self, path: &str) -> bool {
        self.server.sandbox.run(|| Path::new(path).exists())
    }

    /// All files and directories that packages may write.
    fn files(&self) -> BTreeSet<String> {
        let mut find = self.server.host.command_in(&self.server.sandbox, "find");
        let output = find.args(["/etc", "/usr", "/var/lib", "/run", "-xdev"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

/// Puts an empty layer above a directory.
fn cover(name: &str) {
    let [upper, work] = ["upper", "work"].map(|part| format!("/run/layers/{name}/{part}"));
    fs::create_dir_all(&upper).unwrap();
    fs::create_dir_all(&work).unwrap();
    let options = format!("lowerdir=/{name},upperdir={upper},workdir={work}");
    let target = format!("/{name}");
    mount(Some("overlay"), target.as_str(), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .expect("the kernel has overlayfs");
}

/// What dpkg and its triggers write about themselves.
fn is_of_dpkg(path: &str) -> bool {
    path.starts_with("/run/layers") || path.starts_with("/var/lib/dpkg/") && !path.contains("limiterctl")
}

#[test]
fn it_is_installed_upgraded_and_purged_and_limits_stay_until_then() {
    let Some(scene) = Scene::new() else { return };
    let before = scene.files();

    scene.install();
    let installed: Vec<_> = scene.files().difference(&before).cloned().collect();
    for part in [
        "/usr/bin/limiterctl",
        "/usr/lib/systemd/system/limiterctl.service",
        "/usr/share/bash-completion/completions/limiterctl",
        "/usr/share/zsh/vendor-completions/_limiterctl",
        "/usr/share/fish/vendor_completions.d/limiterctl.fish",
        "/usr/share/man/man1/limiterctl.1.gz",
        "/usr/share/man/man1/limiterctl-deny-add.1.gz",
        "/usr/share/doc/limiterctl/limiterctl.toml",
        "/usr/share/doc/limiterctl/docs/systemd.md",
        "/usr/share/doc/limiterctl/copyright",
        "/etc/limiterctl",
    ] {
        assert!(installed.iter().any(|path| path == part), "{part} is missing: {installed:#?}");
    }
    assert!(!scene.exists(CONFIG), "an example became the configuration");
    assert!(!installed.iter().any(|path| path.contains(".wants/")), "it is enabled: {installed:#?}");
    assert_eq!(
        (scene.server.xdp("eth0").as_str(), scene.server.has_pins()),
        ("", false),
        "it has begun to limit"
    );
    assert_eq!(scene.limiterctl(&["check", "/usr/share/doc/limiterctl/limiterctl.toml"]).code, 0);

    scene.server.sandbox.run(|| fs::write(CONFIG, FILE)).unwrap();
    let daemon = scene.server.attach(&["--keep"]);
    scene.install();
    assert_eq!(scene.server.status()["daemon_pid"], json!(daemon.pid()), "an upgrade ends the daemon");
    let (status, _) = daemon.signal(Signal::SIGTERM);
    assert!(status.success());
    let program = scene.server.xdp("eth0");
    assert_ne!(program, "", "--keep keeps it");
    scene.install();
    assert_eq!(scene.server.xdp("eth0"), program, "an upgrade takes limits off");
    assert!(scene.exists(CONFIG), "an upgrade removes the configuration");

    scene.dpkg(&["--purge", "limiterctl"]);
    assert_eq!((scene.server.xdp("eth0").as_str(), scene.server.has_pins()), ("", false), "limits are left");
    let after = scene.files();
    let left: Vec<_> = after.symmetric_difference(&before).filter(|path| !is_of_dpkg(path)).collect();
    assert!(left.is_empty(), "left, or gone: {left:#?}");
}

/// A daemon that still runs is ended, and what somebody else has put beside the configuration stays.
#[test]
fn a_removal_ends_the_daemon_and_keeps_the_configuration() {
    let Some(scene) = Scene::new() else { return };
    scene.install();
    scene.server.sandbox.run(|| fs::write(CONFIG, FILE)).unwrap();
    let daemon = scene.server.attach(&["--keep"]);
    scene.dpkg(&["--remove", "limiterctl"]);
    let (status, _) = daemon.wait();
    assert!(status.success());
    assert_eq!((scene.server.xdp("eth0").as_str(), scene.server.has_pins()), ("", false), "limits are left");
    assert!(scene.exists(CONFIG) && !scene.exists("/usr/bin/limiterctl"));

    scene.server.sandbox.run(|| fs::write("/etc/limiterctl/other", "")).unwrap();
    scene.dpkg(&["--purge", "limiterctl"]);
    assert!(!scene.exists(CONFIG) && scene.exists("/etc/limiterctl/other"));
}
