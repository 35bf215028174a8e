//! Cgroups that come and go, as inotify tells of their directories.

#![expect(unsafe_code, reason = "waits for a descriptor")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::future::pending;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

use super::{Cgroup, DEPTH, find_mount, is_unit};

/// The directories in which some cgroups are, or will be.
pub struct Watch {
    inotify: Inotify,
    /// The same, to be waited for.
    ready: AsyncFd<OwnedFd>,
    mount: PathBuf,
    names: Vec<String>,
}

impl Watch {
    /// For the cgroups with these names, by path or by unit; `None` where there are none.
    ///
    /// # Errors
    ///
    /// As the kernel says; no cgroup v2.
    pub fn new(names: &[String]) -> anyhow::Result<Option<Self>> {
        if names.is_empty() {
            return Ok(None);
        }
        let cannot = "cannot watch the cgroups";
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).context(cannot)?;
        let copy = inotify.as_fd().try_clone_to_owned().context(cannot)?;
        // SAFETY: an OwnedFd has one descriptor, the same from here until it is dropped, and then closed by it.
        let ready = unsafe { AsyncFd::register(copy) }.context(cannot)?;
        Ok(Some(Self { inotify, ready, mount: find_mount()?, names: names.to_vec() }))
    }

    /// Watches where they are now, or where the next part of the way to them will be made. To be called before they are looked
    /// for: so whatever comes after that is told.
    pub fn follow(&self, present: &[Cgroup]) {
        let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
        directories.extend(present.iter().filter_map(|cgroup| Some(cgroup.path.parent()?.to_owned())));
        for name in &self.names {
            if is_unit(name) {
                slices(&self.mount, DEPTH, &mut directories);
            } else {
                let path = self.mount.join(name);
                directories.extend(path.ancestors().skip(1).find(|path| path.is_dir()).map(Path::to_owned));
            }
        }
        for directory in directories {
            // One that has gone meanwhile was told of by its parent.
            let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_ONLYDIR;
            let _ = self.inotify.add_watch(&directory, flags);
        }
    }

    /// Comes back when one of them, or a part of the way there, has been made or removed. Where this is dropped before, nothing
    /// is lost.
    pub async fn changed(&self) {
        loop {
            let Ok(mut ready) = self.ready.readable().await else { return pending().await };
            match self.inotify.read_events() {
                Ok(events) if events.iter().any(|event| self.concerns(event)) => return,
                Ok(_) => {}
                Err(_) => ready.clear_ready(),
            }
        }
    }

    fn concerns(&self, event: &InotifyEvent) -> bool {
        // Without a name it is a directory that is watched no more, or there were more events than had room.
        let Some(made) = event.name.as_deref() else { return true };
        let is_part = |name: &String| {
            Path::new(name).components().any(|part| part == Component::Normal(made))
                || is_unit(name) && holds_units(made)
        };
        event.mask.contains(AddWatchFlags::IN_ISDIR) && self.names.iter().any(is_part)
    }
}

/// Adds all directories in which systemd puts units: the root, slices, and the managers of users.
fn slices(directory: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    found.insert(directory.to_owned());
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if depth > 0 && holds_units(&entry.file_name()) {
            slices(&entry.path(), depth - 1, found);
        }
    }
}

fn holds_units(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".slice") || name.starts_with(b"user@") && name.ends_with(b".service")
}
