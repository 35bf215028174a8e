//! A cgroup of the demo's own, in which nothing else of this machine is seen.
//!
//! The kernel takes namespaces away with their last process, but not cgroups. So a shell outside of the namespaces
//! makes it, waits for whatever ends what is inside, and removes it. A signal from the terminal only makes the shell
//! wait for that; the end of `cargo xtask demo`, by SIGKILL too, ends what is inside and not the shell.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

/// For `sh -c`: the arguments are the cgroup and the command to run in it.
pub const SHELL: &str = r#"
cgroup=$1
shift
mkdir "$cgroup" || exit
trap : HUP INT QUIT TERM
(echo 0 >"$cgroup/cgroup.procs" && exec "$@")
status=$?
# For a moment after its last process the kernel calls a cgroup busy.
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
    [ -d "$cgroup" ] || exit "$status"
    sleep 0.1
done
echo "error: $cgroup is left; remove it by hand: rmdir $cgroup/* $cgroup" >&2
exit 1
"#;

/// The path of one that this process alone uses.
pub fn path() -> Result<PathBuf> {
    Ok(hierarchy()?.join(format!("limiterctl-demo-{}", process::id())))
}

/// Shows cgroups from this process's own on, and no others.
pub fn hide_others() -> Result<()> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup v2")?;
    let place = hierarchy()?;
    mount(Some(&place.join(own)), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot cover {}", place.display()))
}

/// Makes one for a service.
pub fn make(name: &str) -> Result<PathBuf> {
    let path = hierarchy()?.join(name);
    fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// Where version 2 is: the machine's one hierarchy, or the one beside those of version 1.
fn hierarchy() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    find(&mounts)
        .map(Path::to_owned)
        .context("cgroup v2 is not mounted; mount it: sudo mount -t cgroup2 none /sys/fs/cgroup")
}

fn find(mounts: &str) -> Option<&Path> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| Path::new(place))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::find;

    #[test]
    fn version_2_is_found_also_beside_version_1() {
        let hybrid =
            "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(find(hybrid), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(find("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"), Some(Path::new("/sys/fs/cgroup")));
        assert_eq!(find("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"), None);
    }
}
