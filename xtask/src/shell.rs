//! Running commands: which cargo, as which user, and what a failure says.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;
use xshell::{Cmd, Shell};

/// A shell in `folder`, in which the programs that cargo has installed are found, also where the caller's `PATH` lacks them.
pub fn open(folder: &Path) -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(folder);

    let cargo_home =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let installed =
        env::var_os("CARGO_INSTALL_ROOT").map(PathBuf::from).or(cargo_home).map(|root| root.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    sh.set_var("PATH", env::join_paths(env::split_paths(&path).chain(installed))?);
    Ok(sh)
}

/// The cargo that started this program.
///
/// Under rustup the plain name stands for it (`RUSTUP_TOOLCHAIN` is inherited), and echoed commands stay readable.
/// Without rustup the path matters, because another cargo may come first in `PATH`.
pub fn cargo() -> String {
    match env::var("CARGO") {
        Ok(path) if env::var_os("RUSTUP_TOOLCHAIN").is_none() => path,
        _ => "cargo".into(),
    }
}

/// The compiler that cargo uses.
pub fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".into())
}

/// Whether commands run as root already.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// A command that runs as root: through sudo, unless this is root.
pub fn as_root<'sh>(sh: &'sh Shell, program: &str) -> Cmd<'sh> {
    if is_root() { sh.cmd(program) } else { sh.cmd("sudo").arg(program) }
}

/// Where a command is; `sbin` counts, which a plain user's `PATH` on Debian lacks.
pub fn find_command(sh: &Shell, name: &str) -> Option<PathBuf> {
    let path = sh.var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Says what is done and why, does it, and on failure names the command to run by hand.
pub fn step(what: &str, command: &Cmd) -> Result<()> {
    eprintln!("setup: {what}");
    command
        .run()
        .with_context(|| format!("this failed: {what}\nthe command to run by hand:\n    {command}\n"))
}
