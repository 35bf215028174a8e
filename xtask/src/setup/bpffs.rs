//! The BPF file system, where maps and links are pinned.

use std::fs;

use anyhow::{Context as _, Result};
use xshell::Shell;

use crate::shell::{as_root, step};

const BPFFS: &str = "/sys/fs/bpf";

/// Mounts it where systemd would have.
pub fn ensure(sh: &Shell) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    if is_mounted(&mounts) {
        return Ok(());
    }
    let mount = as_root(sh, "mount").args(["-t", "bpf", "bpf", BPFFS]);
    step(&format!("mounting the BPF file system on {BPFFS}, where maps are pinned"), &mount)
}

/// Whether a mount table, in the format of `/proc/mounts`, has it.
fn is_mounted(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::is_mounted;

    #[test]
    fn only_a_bpf_file_system_in_its_place_counts() {
        assert!(is_mounted("proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,relatime 0 0\n"));
        assert!(is_mounted("none /sys/fs/bpf bpf rw 0 0\n"));
        assert!(!is_mounted("tmpfs /sys/fs/bpf tmpfs rw 0 0\n"));
        assert!(!is_mounted("bpf /mnt/bpf bpf rw 0 0\n"));
        assert!(!is_mounted(""));
    }
}
