//! Links and maps pinned in the BPF file system, so that they outlive the process that made them.
//!
//! Links lie beside the maps and not among them, since whatever limiterctl comes next knows what to do with a link; maps lie
//! under the version of their layout, which only who knows it may read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aya::maps::{Map, MapData};
use aya::pin::PinError;
use aya::programs::links::{FdLink, PinnedLink};
use limiter_common::maps::{CONFIGURED, KEPT, LAYOUT};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::link::Link;
use crate::failure::Failure;

const BPFFS: &str = "/sys/fs/bpf";
const ROOT: &str = "/sys/fs/bpf/limiterctl";
const LINKS: &str = "links";
/// Behind the name of a map that is about to take another one's place.
const NEW: &str = "-new";

/// The directory of pins. Dropping it leaves them; [`Pins::remove`] detaches.
#[derive(Debug)]
pub struct Pins {
    maps: PathBuf,
    links: PathBuf,
}

impl Pins {
    /// Where they are. Nothing needs to be there.
    pub fn locate() -> Self {
        Self { maps: Path::new(ROOT).join(format!("v{LAYOUT}")), links: Path::new(ROOT).join(LINKS) }
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

    /// Tells whether maps of another layout are pinned, by the name of their directory.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn other_layout(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(files(Path::new(ROOT))?.into_iter().find(|path| *path != self.maps && *path != self.links))
    }

    /// Where a map is pinned, or would be.
    pub fn map_path(&self, name: &str) -> PathBuf {
        self.maps.join(name)
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub fn map(&self, name: &str) -> anyhow::Result<MapData> {
        MapData::from_pin(self.map_path(name)).with_context(|| format!("cannot open the pinned map {name}"))
    }

    /// Opens a map if it is pinned.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn find_map(&self, name: &str) -> anyhow::Result<Option<MapData>> {
        if self.map_path(name).exists() { self.map(name).map(Some) } else { Ok(None) }
    }

    /// Removes a map's pin. Programs that use it keep it.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn forget_map(&self, name: &str) -> anyhow::Result<()> {
        fs::remove_file(self.map_path(name)).with_context(|| format!("cannot remove the pinned map {name}"))
    }

    /// The maps that hold what is configured now.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn configuration(&self) -> anyhow::Result<Vec<(&'static str, MapData)>> {
        let mut maps = Vec::new();
        for name in CONFIGURED {
            maps.extend(self.find_map(name)?.map(|map| (name, map)));
        }
        Ok(maps)
    }

    /// Pins maps under their names: what is configured in the place of what was, and what is kept where it is not pinned yet.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn pin_maps<'a>(&self, maps: impl Iterator<Item = (&'a str, &'a Map)>) -> anyhow::Result<()> {
        for (name, map) in maps {
            if CONFIGURED.contains(&name) || KEPT.contains(&name) && !self.map_path(name).exists() {
                self.replace_map(name, |path| map.pin(path))?;
            }
        }
        Ok(())
    }

    /// Puts another map in the place of a pinned one, in one step.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn replace_map(
        &self,
        name: &str,
        pin: impl FnOnce(&Path) -> Result<(), PinError>,
    ) -> anyhow::Result<()> {
        let (path, new) = (self.map_path(name), self.map_path(&format!("{name}{NEW}")));
        // Left by somebody who was killed here.
        let _ = fs::remove_file(&new);
        pin(&new).with_context(|| format!("cannot pin map {name}"))?;
        fs::rename(&new, path).with_context(|| format!("cannot pin map {name}"))
    }

    /// The link with this name, where it is pinned and still on something.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn link(&self, name: &str) -> anyhow::Result<Option<Link>> {
        match Link::open(&self.links.join(name)) {
            Ok(link) => Ok((link.target != 0).then_some(link)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open link {name}")),
        }
    }

    /// Whether a link with this name is on this target.
    pub fn is_on(&self, name: &str, target: u64) -> bool {
        self.link(name).ok().flatten().is_some_and(|link| link.target == target)
    }

    /// Pins a link, in the place of one that is on nothing any more.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn pin_link(&self, name: &str, link: FdLink) -> anyhow::Result<()> {
        let path = self.links.join(name);
        let _ = fs::remove_file(&path);
        link.pin(path).with_context(|| format!("cannot pin link {name}"))?;
        Ok(())
    }

    /// Detaches what a link with this name had attached, if there is one. It is off when this returns.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn detach(&self, name: &str) -> anyhow::Result<()> {
        let path = self.links.join(name);
        if !path.exists() {
            return Ok(());
        }
        // Opened before it is unlinked, the link goes with our descriptor. Unlinked alone, it would go some time later, by the
        // kernel's work queue.
        let pinned = PinnedLink::from_pin(&path).with_context(|| format!("cannot open link {name}"))?;
        drop(pinned.unpin().with_context(|| format!("cannot remove link {name}"))?);
        Ok(())
    }

    /// The names of all pinned links.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn links(&self) -> anyhow::Result<Vec<String>> {
        let names = files(&self.links)?.into_iter();
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// Detaches everything, then removes the directory. Says how many links there were.
    ///
    /// # Errors
    ///
    /// As the kernel says; what can be removed is.
    pub fn remove(&self) -> anyhow::Result<usize> {
        let links = self.links()?;
        for link in &links {
            self.detach(link)?;
        }
        match fs::remove_dir_all(ROOT) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context(format!("cannot remove {ROOT}"))
            }
            _ => Ok(links.len()),
        }
    }

    /// Removes all maps, those of other layouts as well; programs that use them keep them.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn forget_maps(&self) -> anyhow::Result<()> {
        for directory in files(Path::new(ROOT))?.into_iter().filter(|path| *path != self.links) {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot remove {}", directory.display()))?;
        }
        Ok(())
    }
}

/// What the link of the program on the interface with this number is called.
pub fn interface_link(index: u32) -> String {
    index.to_string()
}

/// What the link of a program on the cgroup with this number is called.
pub fn cgroup_link(id: u64, program: &str) -> String {
    format!("cgroup-{id}-{program}")
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", directory.display())),
    }
}
