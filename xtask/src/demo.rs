//! `cargo xtask demo`: shows what limiterctl does, on hosts that exist for as long as this runs.
//!
//! The program starts itself again as the first process of a PID, a mount and a network namespace of its own. When
//! that process ends, however it ends, the kernel ends all others there and takes away interfaces, mounts, pins and
//! programs. It ends when its standard input does, which is a pipe from here: a signal to this process, SIGKILL
//! included, needs no handler. What the kernel does not take away is the cgroup: see [`cgroup`].
//!
//! The public modules serve the checks of `cargo xtask kernels` as well.
//!
//! Layout:
//! - [`hosts`]: the network around the server.
//! - [`cgroup`]: the cgroups, and who removes them.
//! - [`website`]: the HTTP server and its page.
//! - [`sites`], [`names`]: other sites, and the name server that knows them.
//! - [`shop`]: a web application that asks them.
//! - [`story`], [`outbound`]: what is done and shown, in order.
//! - [`commands`]: how commands run on a host.
//! - [`page`]: how it looks.
//! - [`proof`]: whether what happened is what the page says.

pub mod cgroup;
pub mod commands;
pub mod hosts;
pub mod names;
mod outbound;
mod page;
mod proof;
mod shop;
mod sites;
mod story;
mod website;

use std::{
    env,
    io::{self, IsTerminal as _, Read as _},
    path::PathBuf,
    process::{self, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    unistd::setsid,
};
use serde_json::Value;
use xshell::{Shell, cmd};

pub use self::story::left;
use self::{commands::Hands, hosts::Network, page::Page, sites::Sites};
use crate::{
    setup::{self, Purpose},
    shell::{as_root, cargo},
};

/// The story takes a third of this.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub struct InsideArgs {
    /// The binary to show
    #[arg(long)]
    limiterctl: PathBuf,

    /// Print headings in bold
    #[arg(long)]
    bold: bool,
}

/// Sets the machine up, builds limiterctl, and shows it.
pub fn run(sh: &Shell) -> Result<()> {
    setup::run(sh, Purpose::Demo)?;
    let limiterctl = build(sh)?;
    let cgroup = cgroup::path()?;

    // --kill-child is for a machine on which this runs as root: the lifeline does the same, a moment later.
    let mut inside = Command::from(
        as_root(sh, "sh")
            .args(["-c", cgroup::SHELL, "demo"])
            .arg(&cgroup)
            .args(["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net"])
            .arg(env::current_exe().context("this program has no path")?)
            .args(["demo-inside", "--limiterctl"])
            .arg(limiterctl)
            .args(is_bold().then_some("--bold")),
    );
    let mut inside = inside.stdin(Stdio::piped()).spawn().context("cannot start sh, or sudo")?;
    // Taken, because `wait` would close it.
    let lifeline = inside.stdin.take();
    let status = inside.wait()?;
    drop(lifeline);
    ensure!(!cgroup.exists(), "the demo has left {} behind", cgroup.display());
    ensure!(status.success(), "the demo failed, for the reason above; nothing of it is left on this machine");
    Ok(())
}

/// What [`run`] starts in namespaces of its own.
pub fn inside(args: &InsideArgs) -> Result<()> {
    // Elsewhere the mounts below would cover the machine's own.
    if process::id() != 1 {
        bail!("`demo-inside` is a part of `cargo xtask demo` and does not run by itself");
    }
    // Ctrl-C is for the process outside alone: nothing here goes first, and nothing complains.
    setsid().context("cannot open a session")?;
    hold_on_to_lifeline();
    hide_files()?;
    names::point_to(sites::NAME_SERVER)?;

    let network = Network::new()?;
    let _website = website::serve(&network.server, &network.targets)?;
    let mut page = Page::new(args.bold);
    let hands = Hands::new(args.limiterctl.clone())?;
    let mut doubts = story::tell(&mut page, &network, &hands)?.doubts();

    let sites = Sites::open(&network.sites)?;
    let _shop = shop::open(&network.server)?;
    doubts.extend(outbound::tell(&mut page, &network, &sites, &hands)?.doubts());
    ensure!(doubts.is_empty(), "the demo did not show what it should:\n    {}", doubts.join("\n    "));
    story::conclude(&mut page)
}

/// Builds the product and says where cargo put it.
pub fn build(sh: &Shell) -> Result<PathBuf> {
    let cargo = cargo();
    let format = "--message-format=json-render-diagnostics";
    let messages = cmd!(sh, "{cargo} build --release --package limiter-user {format}").read()?;
    executable(&messages).context("cargo names no executable")
}

/// The last executable in cargo's messages, which are JSON, one a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    })
}

fn is_bold() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Ends this process, and with it all others of its namespace, when the one outside is gone or it takes too long.
fn hold_on_to_lifeline() {
    thread::spawn(|| {
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|length| length > 0) {}
        process::exit(1);
    });
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("error: the demo did not end within {PATIENCE:?}");
        process::exit(1);
    });
}

/// Gives limiterctl an empty `/run`, an empty BPF file system and no foreign cgroup, so that one that runs on this
/// machine is not met.
fn hide_files() -> Result<()> {
    for (kind, place, options) in [("tmpfs", "/run", "mode=755"), ("bpf", "/sys/fs/bpf", "mode=700")] {
        mount(Some(kind), place, Some(kind), MsFlags::empty(), Some(options))
            .with_context(|| format!("cannot mount a {kind} of the demo's own on {place}"))?;
    }
    cgroup::hide_others()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::executable;

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/target/release/limiterctl"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages).as_deref(), Some(Path::new("/target/release/limiterctl")));
        assert_eq!(executable("{\"reason\":\"build-finished\"}\nno JSON"), None);
    }
}
