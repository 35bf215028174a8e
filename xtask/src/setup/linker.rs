//! bpf-linker, and the LLVM it is built on.

use std::{env, path::Path};

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, Shell, cmd};

use super::{Rustc, apt::Apt, tools};
use crate::shell::{cargo, find_command, step};

/// The version that is installed; a newer one that is there already is kept.
const VERSION: &str = "0.13.0";

/// The newest LLVM that this version has a feature for.
const NEWEST_LLVM: u32 = 23;

/// Makes sure of a bpf-linker that reads what rustc writes.
pub fn ensure(sh: &Shell, apt: &mut Apt, rustc: &Rustc) -> Result<()> {
    if is_good(sh, rustc) {
        return Ok(());
    }
    let llvm = ensure_llvm(apt, rustc).with_context(|| {
        format!(
            "bpf-linker is missing or older than rustc's LLVM; with LLVM {} in place, by hand:\n    {}\n",
            rustc.llvm,
            install(sh, rustc.llvm)
        )
    })?;
    step("building bpf-linker, which links the kernel's side (about a minute)", &install(sh, llvm))
}

/// The command that builds it; `env` in front makes its echo complete.
fn install(sh: &Shell, llvm: u32) -> Cmd<'_> {
    let cargo = cargo();
    let prefix = llvm_prefix(llvm);
    let feature = format!("llvm-{llvm}");
    cmd!(
        sh,
        "env LLVM_PREFIX={prefix} {cargo} install bpf-linker --version {VERSION}
         --locked --no-default-features --features {feature} --force"
    )
}

/// Where that LLVM is: Debian's place, unless the caller says otherwise, as on another distribution.
fn llvm_prefix(llvm: u32) -> String {
    env::var("LLVM_PREFIX").unwrap_or_else(|_| format!("/usr/lib/llvm-{llvm}"))
}

fn is_good(sh: &Shell, rustc: &Rustc) -> bool {
    let Some(path) = find_command(sh, "bpf-linker") else {
        return false;
    };
    // It does not even start when its LLVM library is gone.
    let Ok(answer) = cmd!(sh, "{path} --version").quiet().ignore_stderr().read() else {
        return false;
    };
    if !tools::is_at_least(&answer, VERSION) {
        return false;
    }
    // A linker without a shared LLVM is a published one, which carries the newest.
    let libraries = cmd!(sh, "ldd {path}").quiet().ignore_stderr().ignore_status().read().unwrap_or_default();
    shared_llvm(&libraries).is_none_or(|llvm| llvm >= rustc.llvm)
}

/// Makes sure of LLVM's development files and returns their major version: rustc's, or else the next newer one.
fn ensure_llvm(apt: &mut Apt, rustc: &Rustc) -> Result<u32> {
    for llvm in rustc.llvm..=NEWEST_LLVM {
        if Path::new(&llvm_prefix(llvm)).join("lib/libLLVM.so").exists() {
            return Ok(llvm);
        }
        let packages = packages(llvm);
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        if apt.offers(packages[0], &packages)? {
            apt.install("to build bpf-linker", &packages)?;
            return Ok(llvm);
        }
    }
    bail!(
        "this distribution has no LLVM from {oldest} to {NEWEST_LLVM}, one of which bpf-linker needs; \
         LLVM's own packages will do:\n    \
         curl -LO https://apt.llvm.org/llvm.sh && sudo bash llvm.sh {oldest}\n\
         or install a published bpf-linker, which needs none: https://github.com/aya-rs/bpf-linker/releases",
        oldest = rustc.llvm
    )
}

fn packages(llvm: u32) -> [String; 4] {
    [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev"), "zlib1g-dev".into(), "libzstd-dev".into()]
}

/// The major version of the shared LLVM in the output of ldd: `libLLVM.so.22.1` or `libLLVM-22.so.1`.
fn shared_llvm(libraries: &str) -> Option<u32> {
    let name = libraries.split_whitespace().find_map(|word| word.strip_prefix("libLLVM"))?;
    name.split(|letter: char| !letter.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::shared_llvm;

    #[test]
    fn the_llvm_version_is_read_from_the_library_name() {
        for (libraries, expected) in [
            (
                "\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x0)\n\tlibc.so.6 => /l (0x0)",
                Some(22),
            ),
            ("\tlibLLVM-21.so.1 => /usr/lib/libLLVM-21.so.1 (0x0)", Some(21)),
            ("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x0)", None),
            ("", None),
        ] {
            assert_eq!(shared_llvm(libraries), expected, "{libraries}");
        }
    }
}
