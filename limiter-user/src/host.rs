//! What the machine must have before anything is loaded.

use std::path::Path;

use caps::{CapSet, Capability};
use nix::sys::utsname::uname;

use crate::failure::Failure;

/// The oldest kernel that everything works on.
const FLOOR: (u32, u32) = (5, 18);
/// What came with it.
const FLOOR_FEATURE: &str = "XDP on frames of several buffers";
const BTF: &str = "/sys/kernel/btf/vmlinux";
const NEEDED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];
/// Needed to find the program that a pinned link has (`BPF_PROG_GET_FD_BY_ID`), which is put back where an exchange fails.
/// Asked for before anything is attached: without it neither a reload nor the next `attach` could take over.
const NEEDED_TO_EXCHANGE: [Capability; 1] = [Capability::CAP_SYS_ADMIN];

/// Makes sure that programs can be loaded and attached.
///
/// # Errors
///
/// Missing privileges, a kernel below the floor, no BTF.
pub fn check() -> Result<(), Failure> {
    check_privileges()?;
    has_all(&NEEDED_TO_EXCHANGE)?;
    let release = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    check_kernel(&release)?;
    if !Path::new(BTF).exists() {
        return Err(Failure::new(
            format!("this kernel has no BTF: {BTF} is missing"),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; Debian's, Ubuntu's and Fedora's are",
        ));
    }
    Ok(())
}

/// Makes sure that this process may use BPF.
///
/// # Errors
///
/// Names the capability that is missing.
pub fn check_privileges() -> Result<(), Failure> {
    has_all(&NEEDED)
}

/// Makes sure that this process may give a file to a group that it is not in.
///
/// # Errors
///
/// Names the capability that is missing.
pub fn check_giving_away() -> Result<(), Failure> {
    has_all(&[Capability::CAP_CHOWN])
}

fn has_all(needed: &[Capability]) -> Result<(), Failure> {
    let is_missing = |capability| !caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let missing = needed.iter().find(|&&capability| is_missing(capability));
    missing.map_or(Ok(()), |capability| {
        Err(Failure::new(
            format!("this needs the rights of root ({capability} is missing)"),
            "run it with sudo: sudo limiterctl ...; a unit of systemd needs it in CapabilityBoundingSet=",
        ))
    })
}

fn check_kernel(release: &str) -> Result<(), Failure> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|word| word.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= FLOOR {
        return Ok(());
    }
    let (major, minor) = FLOOR;
    Err(Failure::new(
        format!("kernel {release} is too old: limiterctl needs {major}.{minor} for {FLOOR_FEATURE}"),
        format!("boot kernel {major}.{minor} or newer; Debian 12 brings 6.1"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for release in ["5.18.0", "5.18-rc1", "6.1.0-13-amd64", "6.18.44-fc", "10.0"] {
            assert!(check_kernel(release).is_ok(), "{release}");
        }
        for release in ["5.17.9", "5.4.0-200-generic", "4.19.0", "2.6.32", ""] {
            let failure = check_kernel(release).unwrap_err();
            assert!(failure.cause.contains("needs 5.18 for XDP on frames of several buffers"), "{release}");
        }
    }
}
