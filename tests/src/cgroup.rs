//! A cgroup (version 2) of the test's own, and processes in it.
//!
//! Unlike a namespace, a cgroup is not taken away by the kernel when nobody uses it any more. So each has a watchdog: a
//! process that holds the reading end of a pipe from the test, and cleans up when the test is no longer there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use crate::sys;

/// For so long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for the test's end, and then removes what the test has left, as [`remove`] does.
const WATCHDOG: &str = r#"
read -r _
tries=0
while [ -d "$1" ] && [ "$tries" -lt 100 ]; do
    echo 1 >"$1/cgroup.kill"
    find "$1" -depth -type d -exec rmdir {} \;
    [ -d "$1" ] && sleep 0.1
    tries=$((tries + 1))
done
"#;

/// A cgroup without controllers. Dropping it kills what runs there and in its children, and removes them all; so does
/// the end of the test, whatever ends it.
#[derive(Debug)]
#[must_use]
pub struct Cgroup {
    path: PathBuf,
    /// The first of a tree has it; it looks after the whole tree.
    watchdog: Option<Child>,
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Cgroup {
    /// An empty one, at the root of the hierarchy.
    #[track_caller]
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = mount().join(format!("limiter-test-{}-{number}", process::id()));
        let watchdog = watchdog(&path);
        make(&path);
        Self { path, watchdog: Some(watchdog) }
    }

    /// A child of this one, which ends with it at the latest.
    #[track_caller]
    pub fn child(&self, name: &str) -> Self {
        let path = self.path.join(name);
        make(&path);
        Self { path, watchdog: None }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same, seen from where the hierarchy is mounted.
    pub fn relative_path(&self) -> &Path {
        self.path.strip_prefix(mount()).expect("it was made there")
    }

    /// Lets a command run in this cgroup from its first instruction on. Where else it runs is not changed.
    #[track_caller]
    pub fn place(&self, command: &mut Command) {
        let processes = OpenOptions::new().write(true).open(self.path.join("cgroup.procs"));
        let processes = processes.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        sys::join_cgroup(command, processes.into());
    }

    /// Moves a running process, all its threads, to this cgroup. It will be killed with it.
    #[track_caller]
    pub fn adopt(&self, pid: u32) {
        assert_ne!(pid, process::id(), "the test would be killed");
        let moved = fs::write(self.path.join("cgroup.procs"), pid.to_string());
        moved.unwrap_or_else(|error| panic!("{pid} does not go to {}: {error}", self.path.display()));
    }

    /// The processes in it, without those of its children.
    #[track_caller]
    pub fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).expect("a cgroup can be read");
        text.lines().map(|pid| pid.parse().expect("cgroup.procs lists numbers")).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("{} is not removed: {error}", self.path.display());
        }
        if let Some(watchdog) = &mut self.watchdog {
            drop(watchdog.stdin.take());
            // It tries once more where there is need, and has its own end of patience.
            let _ = watchdog.wait();
        }
    }
}

/// Where cgroup v2 is mounted: the one hierarchy of a machine, or the one beside those of version 1.
#[track_caller]
fn mount() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("proc is mounted");
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = mounts.find_map(|fields| (fields.get(2) == Some(&"cgroup2")).then(|| fields[1].into()));
    found.expect("cgroup v2 is mounted; else: mount -t cgroup2 none /sys/fs/cgroup")
}

#[track_caller]
fn make(path: &Path) {
    fs::create_dir(path).unwrap_or_else(|error| panic!("{} cannot be made: {error}", path.display()));
}

#[track_caller]
fn watchdog(path: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", WATCHDOG, "watchdog"]).arg(path);
    // It must not keep open what somebody reads to its end, and gets no signal that is meant for the test.
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    sys::lead_session(&mut command);
    command.spawn().expect("sh starts")
}

fn remove(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    match fs::write(path.join("cgroup.kill"), "1") {
        // Its parent was dropped first.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    wait_until_empty(path, deadline)?;
    while let Err(error) = remove_tree(path) {
        // For a moment after the last process is gone the kernel may still say EBUSY.
        if error.kind() != ErrorKind::ResourceBusy || Instant::now() > deadline {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The kernel says so by `cgroup.events`, which is readable by poll's measure whenever it changes.
fn wait_until_empty(path: &Path, deadline: Instant) -> io::Result<()> {
    let mut events = File::open(path.join("cgroup.events"))?;
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "processes in it do not die"));
        }
        let timeout = left.as_millis() as u16;
        poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout)?;
    }
}

/// The files in a cgroup go with its directory.
fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
