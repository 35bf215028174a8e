//! Private files for a daemon.

use std::env;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

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
        let mounts = on_fresh_thread("sandbox", || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace needs root");
            // Else what is mounted here would appear on the machine as well.
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .expect("the root directory is a mount");
            mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
                .expect("/run is a directory");
            mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), Some("mode=700"))
                .expect("/sys is mounted and the kernel has BPF");
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
