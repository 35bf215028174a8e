//! Links and maps pinned in the BPF file system, so that they outlive the process that made them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aya::maps::{Map, MapData};
use aya::programs::links::{FdLink, PinnedLink};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::failure::Failure;

const BPFFS: &str = "/sys/fs/bpf";
const ROOT: &str = "/sys/fs/bpf/limiterctl";
/// Changes with the layout of the maps.
const VERSION: &str = "v1";

/// The directory of pins. Dropping it leaves them; [`Pins::remove`] detaches.
#[derive(Debug)]
pub struct Pins {
    maps: PathBuf,
    links: PathBuf,
}

impl Pins {
    /// Where they are. Nothing needs to be there.
    pub fn locate() -> Self {
        let version = Path::new(ROOT).join(VERSION);
        Self { maps: version.join("maps"), links: version.join("links") }
    }

    /// Makes the directories, for root only.
    ///
    /// # Errors
    ///
    /// Where the BPF file system is not mounted.
    pub fn create(&self) -> anyhow::Result<()> {
        let mounted = statfs(BPFFS).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC);
        if !mounted {
            return Err(Failure::new(
                format!("the BPF file system is not mounted on {BPFFS}"),
                format!("mount it: mount -t bpf bpf {BPFFS}"),
            )
            .into());
        }
        for directory in [&self.maps, &self.links] {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(ROOT, private).with_context(|| format!("cannot protect {ROOT}"))
    }

    /// Pins each map under its name.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn pin_maps<'a>(&self, maps: impl Iterator<Item = (&'a str, &'a Map)>) -> anyhow::Result<()> {
        for (name, map) in maps {
            // The file system allows no dot in a name, and read-only data is no table of ours.
            if !name.starts_with('.') {
                map.pin(self.maps.join(name)).with_context(|| format!("cannot pin map {name}"))?;
            }
        }
        Ok(())
    }

    /// Pins the link of an interface.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn pin_link(&self, index: u32, link: FdLink) -> anyhow::Result<()> {
        self.pin(&index.to_string(), link)
    }

    /// Pins the link of a program on a cgroup with this number.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn pin_cgroup_link(&self, id: u64, program: &str, link: FdLink) -> anyhow::Result<()> {
        self.pin(&cgroup_link(id, program), link)
    }

    /// Pins the link of the program that counts open connections.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn pin_count_open(&self, link: FdLink) -> anyhow::Result<()> {
        self.pin(super::open::COUNT_OPEN, link)
    }

    fn pin(&self, name: &str, link: FdLink) -> anyhow::Result<()> {
        link.pin(self.links.join(name)).with_context(|| format!("cannot pin link {name}"))?;
        Ok(())
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub fn map(&self, name: &str) -> anyhow::Result<MapData> {
        MapData::from_pin(self.maps.join(name)).with_context(|| format!("cannot open the pinned map {name}"))
    }

    /// How many links are pinned: programs on interfaces and cgroups.
    pub fn links(&self) -> usize {
        fs::read_dir(&self.links).map_or(0, Iterator::count)
    }

    /// Detaches everything, then removes the directory. Says how many links there were.
    ///
    /// # Errors
    ///
    /// As the kernel says; what can be removed is.
    pub fn remove(&self) -> anyhow::Result<usize> {
        let mut removed = 0;
        for link in files(&self.links)? {
            // Opened before it is unlinked, the link goes with our descriptor: the program is off when this returns.
            // Unlinked alone, it would go some time later, by the kernel's work queue.
            let pinned =
                PinnedLink::from_pin(&link).with_context(|| format!("cannot open {}", link.display()))?;
            drop(pinned.unpin().with_context(|| format!("cannot remove {}", link.display()))?);
            removed += 1;
        }
        for map in files(&self.maps)? {
            fs::remove_file(&map).with_context(|| format!("cannot remove {}", map.display()))?;
        }
        match fs::remove_dir_all(ROOT) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context(format!("cannot remove {ROOT}"))
            }
            _ => Ok(removed),
        }
    }
}

fn cgroup_link(id: u64, program: &str) -> String {
    format!("cgroup-{id}-{program}")
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", directory.display())),
    }
}
