//! The virtual machine.

use std::path::Path;

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use super::packages::Kernel;

/// A word on the kernel's command line, by which a program knows that it is here.
pub const MARK: &str = "limiterctl.kernels";

/// The checks take a fraction of this, in seconds.
const PATIENCE: &str = "300";

/// Boots a kernel, waits for its end, and returns what its console showed. One that hangs is ended.
pub fn boot(sh: &Shell, kernel: &Kernel, archive: &Path) -> Result<String> {
    let image = kernel.image();
    // -1: one that panics starts again at once, which qemu takes for the end. A busy machine is no lockup.
    let options = format!("console=ttyS0 quiet loglevel=3 panic=-1 nowatchdog {MARK}");
    // --foreground: Ctrl-C ends it with the rest.
    let output = cmd!(
        sh,
        "timeout --foreground --kill-after=5 {PATIENCE} qemu-system-x86_64 -machine accel=tcg -cpu max -m 1024 -smp 1
         -nographic -no-reboot -nic none -kernel {image} -initrd {archive} -append {options}"
    )
    .quiet()
    .ignore_status()
    .output()
    .context("cannot start qemu")?;
    Ok(String::from_utf8_lossy(&output.stdout).replace('\r', "") + &String::from_utf8_lossy(&output.stderr))
}
