//! `cargo xtask kernels`: boots other kernels in a virtual machine, and shows that limiterctl loads and works there.
//!
//! What the verifier of a new kernel takes, that of an old one may refuse, and this machine has only one. The kernels
//! are Debian's, from the package sources of this machine. The virtual machine is qemu without KVM, which also runs
//! where this is a virtual machine already; its disk is an archive in memory, with the programs of this machine.
//!
//! Layout:
//! - [`packages`]: finds, fetches and unpacks a kernel.
//! - [`modules`]: the modules that the checks need.
//! - [`initramfs`]: the archive, and what is in it.
//! - [`machine`]: boots it, and returns what its console showed.
//! - [`mod@inside`]: the checks, which run in the virtual machine.
//! - [`report`]: how a finding leaves the virtual machine, and the table of all.

mod initramfs;
mod inside;
mod machine;
mod modules;
mod packages;
mod report;

use std::{
    env,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use self::{
    packages::Kernel,
    report::{Finding, Report},
};
use crate::{
    demo,
    setup::{self, Apt, Purpose},
};

pub use self::inside::{Args as InsideArgs, run as inside};

/// The ones that the README names, apart from newer ones.
const PROMISED: [&str; 2] = ["6.1", "6.12"];

/// Large packages, and of use here only: no other verb installs them.
const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("ip", "iproute2"),
];

#[derive(clap::Args)]
pub struct Args {
    /// Which kernels: `6.1` is the newest 6.1 that apt has; by default the ones that the README names
    #[arg(value_name = "VERSION", default_values_t = PROMISED.map(str::to_owned))]
    versions: Vec<String>,

    /// Try this limiterctl, instead of building one
    #[arg(long, value_name = "FILE")]
    limiterctl: Option<PathBuf>,
}

/// Tries each kernel, prints what was found, and fails if anything did.
pub fn run(sh: &Shell, args: &Args) -> Result<()> {
    // The kernels and this machine's programs must be of one kind.
    ensure!(cfg!(target_arch = "x86_64"), "the kernels to try are x86_64's, and this machine is not");
    let limiterctl = if let Some(file) = &args.limiterctl {
        env::current_dir()?.join(file)
    } else {
        setup::run(sh, Purpose::Build)?;
        demo::build(sh)?
    };
    ensure!(limiterctl.is_file(), "{} is no file", limiterctl.display());
    let mut apt = Apt::new(sh);
    apt.ensure_commands("to boot kernels in a virtual machine", TOOLS)?;

    let mut report = Report::default();
    for version in &args.versions {
        match try_version(sh, &mut apt, version, &limiterctl) {
            Ok((kernel, findings)) => report.add(&kernel, findings),
            // Other versions can still be tried.
            Err(error) => report.add(version, vec![Finding::failed("the kernel", &format!("{error:#}"))]),
        }
    }
    print!("{report}");
    ensure!(report.all_passed(), "a check failed; consoles are in {FOLDER}/*/{LOG}");
    Ok(())
}

/// Where kernels are kept, from the top of the repository.
const FOLDER: &str = "target/kernels";
const LOG: &str = "console.log";

/// Boots one, and returns its full version with what was found.
fn try_version(
    sh: &Shell,
    apt: &mut Apt,
    version: &str,
    limiterctl: &Path,
) -> Result<(String, Vec<Finding>)> {
    let folder = sh.create_dir(FOLDER)?;
    let kernel = Kernel::get(sh, apt, &folder, version)?;
    let archive = initramfs::pack(sh, &kernel, limiterctl).context("cannot pack the programs")?;

    eprintln!("kernels: booting {}", kernel.release);
    let start = Instant::now();
    let console = machine::boot(sh, &kernel, &archive)?;
    eprintln!("kernels: {} ran for {:.0} s", kernel.release, start.elapsed().as_secs_f64());
    sh.write_file(kernel.folder.join(LOG), &console)?;

    Ok((kernel.release, report::findings(&console, inside::names())))
}
