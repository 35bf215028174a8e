//! `cargo xtask package`: a package for Debian and what is built on it.
//!
//! `dpkg-deb` packs a tree that is laid out here. It is on every Debian, so that nothing has to be built for it first; what a
//! tool of cargo's would add, the conffiles and the generated scripts, this package must not have.

mod control;

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use crate::{
    shell::{cargo, find_command},
    top,
};

/// Files of this repository, and where they go.
const FILES: &[(&str, &str)] = &[
    ("dist/limiterctl.service", "usr/lib/systemd/system/limiterctl.service"),
    // An example, and no configuration: it names an interface and a service that this machine may not have.
    ("dist/limiterctl.toml", "usr/share/doc/limiterctl/limiterctl.toml"),
    ("README.md", "usr/share/doc/limiterctl/README.md"),
    ("docs/ARCHITECTURE.md", "usr/share/doc/limiterctl/docs/ARCHITECTURE.md"),
    ("docs/clients.md", "usr/share/doc/limiterctl/docs/clients.md"),
    ("docs/connlimit.md", "usr/share/doc/limiterctl/docs/connlimit.md"),
    ("docs/performance.md", "usr/share/doc/limiterctl/docs/performance.md"),
    ("docs/security.md", "usr/share/doc/limiterctl/docs/security.md"),
    ("docs/systemd.md", "usr/share/doc/limiterctl/docs/systemd.md"),
    ("LICENSE-MIT", "usr/share/doc/limiterctl/copyright"),
];

/// Shells, and where they look for completions.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/limiterctl"),
    ("zsh", "usr/share/zsh/vendor-completions/_limiterctl"),
    ("fish", "usr/share/fish/vendor_completions.d/limiterctl.fish"),
];

const MANUAL: &str = "usr/share/man/man1";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

#[derive(clap::Args)]
pub struct Args {
    /// Pack this limiterctl, instead of building one
    #[arg(long, value_name = "FILE")]
    limiterctl: Option<PathBuf>,

    /// Where the package goes
    #[arg(long, value_name = "DIRECTORY", default_value = "target/debian")]
    out: PathBuf,

    /// Who answers for the package, by name and address
    #[arg(long, value_name = "WHO", default_value = "root <root@localhost>")]
    maintainer: String,
}

/// Builds it, and says where it is.
pub fn run(sh: &Shell, args: &Args) -> Result<()> {
    for tool in ["dpkg-deb", "dpkg", "gzip", "strip"] {
        ensure!(
            find_command(sh, tool).is_some(),
            "there is no {tool}: packages are built on Debian or Ubuntu"
        );
    }
    let limiterctl = match &args.limiterctl {
        Some(file) => env::current_dir()?.join(file),
        None => build(sh)?,
    };
    let out = top().join(&args.out);
    let tree = out.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    lay_out(sh, &limiterctl, &tree)?;
    let architecture = cmd!(sh, "dpkg --print-architecture").quiet().read()?;
    let about = control::About { maintainer: &args.maintainer, architecture: &architecture };
    write(
        &tree,
        "DEBIAN/control",
        control::text(&about, &fs::read(&limiterctl)?, size(&tree)?)?.as_bytes(),
        0o644,
    )?;
    for script in SCRIPTS {
        write(
            &tree,
            &format!("DEBIAN/{script}"),
            &sh.read_binary_file(format!("dist/debian/{script}"))?,
            0o755,
        )?;
    }
    let package = out.join(format!("limiterctl_{}_{architecture}.deb", env!("CARGO_PKG_VERSION")));
    cmd!(sh, "dpkg-deb --root-owner-group --build {tree} {package}").quiet().ignore_stdout().run()?;
    fs::remove_dir_all(&tree)?;
    println!("{}", package.display());
    Ok(())
}

fn build(sh: &Shell) -> Result<PathBuf> {
    let cargo = cargo();
    cmd!(sh, "{cargo} build --release --package limiter-user").run()?;
    let target = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    Ok(top().join(target).join("release/limiterctl"))
}

/// All that is installed.
fn lay_out(sh: &Shell, limiterctl: &Path, tree: &Path) -> Result<()> {
    // Empty: whoever wants limits writes the file.
    directory(&tree.join("etc/limiterctl"))?;
    let program = fs::read(limiterctl).with_context(|| format!("cannot read {}", limiterctl.display()))?;
    write(tree, "usr/bin/limiterctl", &program, 0o755)?;
    let program = tree.join("usr/bin/limiterctl");
    cmd!(sh, "strip --strip-unneeded {program}").quiet().run()?;
    for (from, to) in FILES {
        write(tree, to, &sh.read_binary_file(from)?, 0o644)?;
    }
    for (shell, to) in COMPLETIONS {
        write(tree, to, &cmd!(sh, "{program} completions {shell}").quiet().output()?.stdout, 0o644)?;
    }
    let manual = tree.join(MANUAL);
    directory(&manual)?;
    cmd!(sh, "{program} man {manual}").quiet().run()?;
    for page in sh.read_dir(&manual)? {
        cmd!(sh, "gzip -9n {page}").quiet().run()?;
    }
    Ok(())
}

fn write(tree: &Path, to: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let path = tree.join(to);
    directory(path.parent().unwrap_or(tree))?;
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(&path, Permissions::from_mode(mode))?)
}

fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

/// Bytes of all files in a tree.
fn size(tree: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
