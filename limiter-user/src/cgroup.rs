//! Cgroups of version 2, by path or by the name of a systemd unit.

mod attempt;
mod watch;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context as _;

use crate::failure::Failure;
pub use attempt::{Call, Outcome, attempt};
pub use watch::Watch;

const MOUNTS: &str = "/proc/self/mounts";
/// What the name of a unit with processes ends in (systemd.unit(5)).
const UNITS: [&str; 3] = [".service", ".scope", ".slice"];
/// How deep a unit is looked for.
const DEPTH: usize = 8;

/// A cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Its path below the mount.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its number; a new one of the same name has another.
    pub id: u64,
}

/// Cgroups that are there, and the names of others, each with what it lacks.
type Present = (Vec<Cgroup>, Vec<(String, Failure)>);

impl Cgroup {
    /// Those with these names, in this order.
    ///
    /// # Errors
    ///
    /// No cgroup v2; one that does not exist, is named twice, is the root, or lies in another one.
    pub fn all(names: &[String]) -> anyhow::Result<Vec<Self>> {
        let (found, missing) = Self::present(names)?;
        match missing.into_iter().next() {
            Some((_, failure)) => Err(failure.into()),
            None => Ok(found),
        }
    }

    /// Those with these names that exist, in this order; and the names of the others, each with what it lacks.
    ///
    /// # Errors
    ///
    /// No cgroup v2; one that is named twice, is the root, or lies in another one; what cannot be a cgroup.
    pub fn present(names: &[String]) -> anyhow::Result<Present> {
        if names.is_empty() {
            return Ok(Default::default());
        }
        Self::below(&find_mount()?, names)
    }

    /// What is there now in the place of this one: itself, another one under its path, or nothing.
    pub fn now(&self) -> Option<Self> {
        let about = fs::metadata(&self.path).ok()?;
        Some(Self { id: about.ino(), ..self.clone() })
    }

    /// Whether one of the two holds the other, or both are one.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.path.starts_with(&other.path) || other.path.starts_with(&self.path)
    }

    /// Opens the one that holds all others, for programs that look at every process.
    ///
    /// # Errors
    ///
    /// No cgroup v2.
    pub fn open_root() -> anyhow::Result<File> {
        let mount = find_mount()?;
        File::open(&mount).with_context(|| format!("cannot open {}", mount.display()))
    }

    fn below(mount: &Path, names: &[String]) -> anyhow::Result<Present> {
        let (mut found, mut missing): Present = (Vec::new(), Vec::new());
        for name in names {
            let cgroup = match Self::find(mount, name)? {
                Ok(cgroup) => cgroup,
                Err(failure) => {
                    missing.push((name.clone(), failure));
                    continue;
                }
            };
            if let Some(other) = found.iter().find(|other| other.overlaps(&cgroup)) {
                return Err(Failure::new(
                    format!("cgroup '{name}' and cgroup '{}' are one, or one in the other", other.name),
                    "name the outer one alone: what is in it is limited with it",
                )
                .into());
            }
            found.push(cgroup);
        }
        Ok((found, missing))
    }

    /// Within the result, what a cgroup lacks that may come yet.
    fn find(mount: &Path, name: &str) -> anyhow::Result<Result<Self, Failure>> {
        let path = if is_unit(name) { unit(mount, name)? } else { Ok(directory(mount, name)?) };
        let path = match path {
            Ok(path) => path,
            Err(failure) => return Ok(Err(failure)),
        };
        if path == mount {
            return Err(Failure::new(
                "the root cgroup holds every process of this machine",
                "name that of the service: --cgroup shop.service",
            )
            .into());
        }
        match fs::metadata(&path) {
            Ok(about) if about.is_dir() => Ok(Ok(Self {
                name: path.strip_prefix(mount).unwrap_or(&path).display().to_string(),
                id: about.ino(),
                path,
            })),
            Ok(_) => {
                Err(Failure::new(format!("{} is a file", path.display()), "name the directory that it is in")
                    .into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(Failure::new(
                format!("there is no cgroup '{name}'"),
                format!("start its processes first, or make it: mkdir {}", path.display()),
            ))),
            Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
    }

    /// Opens it, for programs to be attached.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn open(&self) -> anyhow::Result<File> {
        File::open(&self.path).with_context(|| format!("cannot open {}", self.path.display()))
    }
}

/// Looked for once: who moves it away moves it from under all that are in it.
fn find_mount() -> anyhow::Result<PathBuf> {
    static MOUNT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(mount) = MOUNT.get() {
        return Ok(mount.clone());
    }
    let mounts = fs::read_to_string(MOUNTS).with_context(|| format!("cannot read {MOUNTS}"))?;
    let mount = mount(&mounts).ok_or_else(|| {
        Failure::new("cgroup v2 is not mounted", "mount it: mount -t cgroup2 none /sys/fs/cgroup")
    })?;
    Ok(MOUNT.get_or_init(|| mount).clone())
}

/// Where cgroup v2 is mounted, in the words of proc(5). The first place counts.
fn mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (place, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| place.replace("\\040", " ").into())
    })
}

fn is_unit(name: &str) -> bool {
    !name.contains('/') && UNITS.iter().any(|ending| name.ends_with(ending))
}

/// A path below the mount, or from the root of the file system.
fn directory(mount: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = mount.join(name);
    let is_below = path.starts_with(mount) && !path.components().any(|part| part == Component::ParentDir);
    if is_below {
        return Ok(path.components().collect());
    }
    Err(Failure::new(
        format!("'{name}' is no cgroup: version 2 is mounted on {}", mount.display()),
        format!("write a path below that, as in {}/system.slice/shop.service", mount.display()),
    ))
}

/// The cgroup of a unit, wherever systemd has put it. Within the result, that it does not run.
fn unit(mount: &Path, name: &str) -> anyhow::Result<Result<PathBuf, Failure>> {
    let mut found = Vec::new();
    search(mount, name, DEPTH, &mut found)?;
    match found.len() {
        1 => Ok(Ok(found.swap_remove(0))),
        0 => Ok(Err(Failure::new(
            format!("no unit '{name}' runs: there is no cgroup of that name"),
            format!("start it first: systemctl start {name}"),
        ))),
        _ => {
            let names: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::new(
                format!("several cgroups are called '{name}': {}", names.join(", ")),
                "name the path of the one that is meant",
            )
            .into())
        }
    }
}

fn search(directory: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name() == name {
            found.push(entry.path());
        }
        if depth > 0 {
            // A cgroup may vanish while it is looked at.
            let _ = search(&entry.path(), name, depth - 1, found);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of directories in place of a mount.
    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for path in paths {
            fs::create_dir_all(tree.path().join(path)).unwrap();
        }
        tree
    }

    fn names(mount: &Path, names: &[&str]) -> Result<Vec<String>, String> {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let (found, missing) = Cgroup::below(mount, &names).map_err(|error| error.to_string())?;
        match missing.into_iter().next() {
            Some((_, failure)) => Err(failure.cause),
            None => Ok(found.into_iter().map(|cgroup| cgroup.name).collect()),
        }
    }

    #[test]
    fn the_mount_is_found_also_beside_version_1() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount("none /mnt/c\\040g cgroup2 rw 0 0"), Some("/mnt/c g".into()));
        assert_eq!(mount("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0"), None);
    }

    #[test]
    fn paths_and_units_are_found() {
        let tree = tree(&["system.slice/shop.service/worker", "user.slice"]);
        let absolute = tree.path().join("user.slice");
        let found = names(tree.path(), &["shop.service", absolute.to_str().unwrap()]);
        assert_eq!(found, Ok(vec!["system.slice/shop.service".into(), "user.slice".into()]));
        let found = names(tree.path(), &["system.slice/shop.service/worker/"]);
        assert_eq!(found, Ok(vec!["system.slice/shop.service/worker".into()]));
    }

    #[test]
    fn what_cannot_be_limited_is_refused() {
        let tree = tree(&["a/x.service", "b/x.service", "system.slice/shop.service"]);
        fs::write(tree.path().join("cgroup.procs"), "").unwrap();
        let mount = tree.path().display();
        for (cgroups, cause) in [
            (&["none"][..], "there is no cgroup 'none'".to_owned()),
            (&["y.service"], "no unit 'y.service' runs: there is no cgroup of that name".into()),
            (&["/etc"], format!("'/etc' is no cgroup: version 2 is mounted on {mount}")),
            (&["../x"], format!("'../x' is no cgroup: version 2 is mounted on {mount}")),
            (&[""], "the root cgroup holds every process of this machine".into()),
            (&["cgroup.procs"], format!("{mount}/cgroup.procs is a file")),
            (
                &["system.slice", "shop.service"],
                "cgroup 'shop.service' and cgroup 'system.slice' are one, or one in the other".into(),
            ),
        ] {
            assert_eq!(names(tree.path(), cgroups), Err(cause));
        }
        assert!(
            names(tree.path(), &["x.service"])
                .unwrap_err()
                .starts_with("several cgroups are called 'x.service'")
        );
    }
}
