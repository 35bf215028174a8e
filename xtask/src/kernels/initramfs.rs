//! The archive that a kernel unpacks in memory and runs: a shell, limiterctl, this program, and what they load.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use super::{modules, packages::Kernel};
use crate::shell::find_command;

/// The first process.
const INIT: &str = include_str!("init.sh");
const FOLDERS: [&str; 7] = ["bin", "dev", "etc", "modules", "proc", "run", "sys"];

/// Packs it, and returns the archive.
pub fn pack(sh: &Shell, kernel: &Kernel, limiterctl: &Path) -> Result<PathBuf> {
    let root = kernel.folder.join("root");
    sh.remove_path(&root)?;
    for folder in FOLDERS {
        sh.create_dir(root.join(folder))?;
    }
    let init = root.join("init");
    sh.write_file(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;

    for (name, program) in [
        ("limiterctl", limiterctl.to_owned()),
        ("xtask", env::current_exe()?),
        ("busybox", installed(sh, "busybox")?),
        ("ip", installed(sh, "ip")?),
    ] {
        sh.copy_file(&program, root.join("bin").join(name))?;
        add_libraries(sh, &root, &program)?;
    }
    for (number, (name, bytes)) in modules::with_dependencies(sh, &kernel.files(), "veth")?.iter().enumerate()
    {
        sh.write_file(root.join(format!("modules/{number}-{name}.ko")), bytes)?;
    }

    let archive = kernel.folder.join("initramfs.cpio");
    let _root = sh.push_dir(&root);
    let files = cmd!(sh, "find .").quiet().read()?;
    cmd!(sh, "cpio --quiet --create --format=newc --owner=0:0 -F {archive}").quiet().stdin(files).run()?;
    Ok(archive)
}

fn installed(sh: &Shell, name: &str) -> Result<PathBuf> {
    find_command(sh, name).with_context(|| format!("{name} is not installed"))
}

/// Copies what a program is linked to, to the places where it looks for it.
fn add_libraries(sh: &Shell, root: &Path, program: &Path) -> Result<()> {
    // Of a static program ldd says only that, and fails.
    let output = cmd!(sh, "ldd {program}").quiet().ignore_stderr().ignore_status().read()?;
    for library in libraries(&output) {
        let copy = root.join(library.trim_start_matches('/'));
        sh.create_dir(copy.parent().context("a library has no folder")?)?;
        sh.copy_file(library, copy)?;
    }
    Ok(())
}

/// The files in the output of ldd, the loader included.
fn libraries(output: &str) -> Vec<&str> {
    output.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))).collect()
}

#[cfg(test)]
mod tests {
    use super::libraries;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let output = "\tlinux-vdso.so.1 (0x00007f)\n\
                      \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(libraries(output), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(libraries("\tnot a dynamic executable\n").is_empty());
    }
}
