//! limiterctl as a service: with the rights of the unit, and with somebody to tell of its state.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::{Machine, Said, binary};
use limiter_tests::net::{Host, LinkOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

/// A server with an interface and a cgroup to limit.
pub struct Scene {
    pub server: Machine,
    cgroup: Cgroup,
    files: TempDir,
    _client: Host,
}

pub const FILE: &str = r#"[inbound]
interfaces = ["eth0"]
[[inbound.rule]]
name = "web"
ports = [80]
rate = "10/s"
strangers_rate = "100/s"
max_open = 15
[outbound]
cgroups = ["CGROUP"]
default = { rate = "10/s", lookups = "50/s", bytes = "5 mbytes/s" }
[app]
group = "daemon"
"#;

impl Scene {
    pub fn new() -> Self {
        let (server, client) = Machine::with_client(LinkOptions::default());
        let scene =
            Self { server, cgroup: Cgroup::new(), files: tempfile::tempdir().unwrap(), _client: client };
        scene.write(FILE);
        scene
    }

    pub fn config(&self) -> String {
        self.files.path().join("limiterctl.toml").to_str().unwrap().to_owned()
    }

    pub fn write(&self, file: &str) {
        fs::write(self.config(), file.replace("CGROUP", self.cgroup.path().to_str().unwrap())).unwrap();
    }

    /// limiterctl as the unit runs it: root, with these rights and no others.
    pub fn confined(&self, capabilities: &[&str], arguments: &[&str]) -> Command {
        let set: Vec<_> =
            capabilities.iter().map(|name| name.trim_start_matches("CAP_").to_lowercase()).collect();
        let set = set.iter().fold("-all".to_owned(), |set, name| format!("{set},+{name}"));
        let mut command = self.server.host.command_in(&self.server.sandbox, "setpriv");
        let bounding = format!("--bounding-set={set}");
        command.args([&bounding, "--inh-caps=-all", "--no-new-privs"]).arg(binary()).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Starts `attach` under a service manager of the test's own.
    pub fn start(&self, mut attach: Command) -> Service {
        let path = self.files.path().join("notify");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        attach.env("NOTIFY_SOCKET", &path).stdout(Stdio::null()).stderr(Stdio::piped());
        Service { child: attach.spawn().unwrap(), socket }
    }
}

/// A daemon, and what it tells the service manager.
pub struct Service {
    pub child: Child,
    pub socket: UnixDatagram,
}

impl Service {
    /// The next message; an empty one where it has ended instead.
    pub fn next(&mut self) -> String {
        let mut buffer = [0; 4096];
        let deadline = Instant::now() + PATIENCE;
        self.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        while Instant::now() < deadline {
            if let Ok(length) = self.socket.recv(&mut buffer) {
                return String::from_utf8_lossy(&buffer[..length]).into_owned();
            }
            if self.child.try_wait().unwrap().is_some() {
                return String::new();
            }
        }
        panic!("it says nothing and does not end");
    }

    /// The next message that is not about the watchdog.
    pub fn news(&mut self) -> String {
        loop {
            let news = self.next();
            if news != "WATCHDOG=1\n" {
                return news;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    pub fn end(mut self) -> Said {
        self.child.kill().unwrap();
        let stderr = self.child.stderr.take();
        let status = self.child.wait().unwrap();
        let stderr = stderr.map(|pipe| std::io::read_to_string(pipe).unwrap()).unwrap_or_default();
        Said { code: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
