//! Private files for a daemon.

use std::env;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::on_fresh_thread;

/// A mount namespace with an empty `/run` and an empty bpffs; all else is the machine's own.
///
/// What is pinned, bound or locked there vanishes with the sandbox and the last process in it.
#[derive(Debug)]
pub struct Sandbox {
    mounts: OwnedFd,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// See [`Host::command_in`](super::Host::command_in) for how processes get into it.
    pub fn new() -> Self {
        Self::prepare(|| ())
    }

    /// One whose processes ask this DNS server, and have a `/etc/hosts` with nothing but localhost.
    pub fn with_resolver(server: &str) -> Self {
        Self::prepare(|| {
            // A server of the tests is silent only where it was told to be.
            cover("/etc/resolv.conf", &format!("nameserver {server}\noptions timeout:1 attempts:2\n"));
            // Without it the C library asks DNS as well.
            if Path::new("/etc/nsswitch.conf").exists() {
                cover("/etc/nsswitch.conf", "hosts: files dns\n");
            }
            cover("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
        })
    }

    fn prepare(more: impl FnOnce() + Send) -> Self {
        let mounts = on_fresh_thread("sandbox", || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace needs root");
            // Else what is mounted here would appear on the machine as well.
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .expect("the root directory is a mount");
            mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
                .expect("/run is a directory");
            mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), Some("mode=700"))
                .expect("/sys is mounted and the kernel has BPF");
            more();
            File::open("/proc/thread-self/ns/mnt").expect("a thread has a mount namespace")
        });
        Self { mounts: mounts.into() }
    }

    /// Runs a closure that sees the sandbox's files, and the machine's network.
    pub fn run<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> T {
        on_fresh_thread("sandbox", || {
            // A thread shares its root and working directory with the process, and then may not change mounts.
            unshare(CloneFlags::CLONE_FS).expect("a thread may have a working directory of its own");
            setns(&self.mounts, CloneFlags::CLONE_NEWNS).expect("root may enter a mount namespace");
            closure()
        })
    }

    pub(super) fn mounts(&self) -> (OwnedFd, PathBuf) {
        let mounts = self.mounts.try_clone().expect("a descriptor to spare");
        (mounts, env::current_dir().expect("the test has a working directory"))
    }
}

/// Puts a file of the calling thread's mount namespace in a file's place. Its `/run` must be private already.
fn cover(path: &str, text: &str) {
    let target = Path::new(path);
    if !target.exists() {
        let target = fs::read_link(target).unwrap_or_else(|_| panic!("the machine has no {path}"));
        let target = Path::new("/etc").join(target);
        // A service's file, as systemd-resolved's: it was below /run, which is empty now.
        assert!(target.starts_with("/run") || target.starts_with("/etc/../run"), "{path} leads nowhere");
        fs::create_dir_all(target.parent().expect("a file is in a directory")).expect("/run can be written");
        return fs::write(target, text).expect("/run can be written");
    }
    let ours = Path::new("/run").join(target.file_name().expect("a file has a name"));
    fs::write(&ours, text).expect("/run can be written");
    mount(Some(&ours), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("{path} cannot be covered: {error}"));
}
