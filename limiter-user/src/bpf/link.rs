//! Links that are pinned already: where they are, and another program in their place.
//!
//! The kernel exchanges a link's program in one step (`BPF_LINK_UPDATE`, kernel 5.7): each packet and each call meets the old
//! one or the new one.

#![expect(unsafe_code, reason = "system calls for links that aya keeps to itself")]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info, bpf_link_type};
use nix::libc::{SYS_bpf, syscall};

/// A pinned link. Dropping it leaves the link where it is.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
    /// What it is on: the number of an interface or of a cgroup; 0 where that is gone, or somebody detached it.
    pub target: u64,
    program: u32,
}

impl Link {
    /// Opens the one that is pinned there.
    ///
    /// # Errors
    ///
    /// As the kernel says: [`io::ErrorKind::NotFound`] where there is none.
    pub fn open(pin: &Path) -> io::Result<Self> {
        let path = CString::new(pin.as_os_str().as_bytes())?;
        let mut attributes = no_attributes();
        attributes.__bindgen_anon_4.pathname = path.as_ptr() as u64;
        let fd = call_for_fd(bpf_cmd::BPF_OBJ_GET, &mut attributes)?;

        // SAFETY: numbers and unions of numbers, for which zeroes are values.
        let mut info: bpf_link_info = unsafe { mem::zeroed() };
        let mut attributes = no_attributes();
        attributes.info.bpf_fd = fd.as_raw_fd() as u32;
        attributes.info.info = (&raw mut info) as u64;
        attributes.info.info_len = size_of_val(&info) as u32;
        call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
        // SAFETY: all members of the union are numbers, and the kernel has written the one that goes with the type.
        let target = unsafe {
            if info.type_ == bpf_link_type::BPF_LINK_TYPE_XDP as u32 {
                info.__bindgen_anon_1.xdp.ifindex.into()
            } else {
                info.__bindgen_anon_1.cgroup.cgroup_id
            }
        };
        Ok(Self { fd, target, program: info.prog_id })
    }

    /// The number of its program.
    pub const fn program(&self) -> u32 {
        self.program
    }

    /// Puts another program in the place of its own, which is handed back.
    ///
    /// # Errors
    ///
    /// As the kernel says; nothing is changed then.
    pub fn replace(&self, program: impl AsFd) -> io::Result<OwnedFd> {
        let mut attributes = no_attributes();
        attributes.__bindgen_anon_6.__bindgen_anon_1.prog_id = self.program;
        let old = call_for_fd(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attributes)?;
        let mut attributes = no_attributes();
        attributes.link_update.link_fd = self.fd.as_raw_fd() as u32;
        attributes.link_update.__bindgen_anon_1.new_prog_fd = program.as_fd().as_raw_fd() as u32;
        call(bpf_cmd::BPF_LINK_UPDATE, &mut attributes)?;
        Ok(old)
    }
}

pub(super) fn no_attributes() -> bpf_attr {
    // SAFETY: numbers and unions of numbers, for which zeroes are values.
    unsafe { mem::zeroed() }
}

fn call_for_fd(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: these commands give a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes no more than the attributes, and what they point to outlives the call.
    let result = unsafe { syscall(SYS_bpf, command as u32, &raw mut *attributes, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
