//! bpf(2), as far as a program of two instructions needs it.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;

// Numbers of linux/bpf.h and linux/if_link.h.
const BPF_PROG_LOAD: i32 = 5;
const BPF_LINK_CREATE: i32 = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 4;

/// `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The first members of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// And for `BPF_LINK_CREATE`.
#[repr(C)]
struct Create {
    program: RawFd,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads an XDP program that returns this for every frame.
pub fn load_xdp(action: i32) -> io::Result<OwnedFd> {
    let move_to_r0 = Instruction { code: 0xb7, registers: 0, offset: 0, immediate: action };
    let exit = Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 };
    let instructions = [move_to_r0, exit];
    let load = Load {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    // SAFETY: instructions and license live until the call returns, and are as long as they are said to be.
    unsafe { bpf(BPF_PROG_LOAD, &load) }
}

/// Attaches a program to an interface of the thread's network namespace, until the link is closed.
pub fn attach_xdp(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd();
    let create = Create { program, interface, attach_type: BPF_XDP, flags: XDP_FLAGS_DRV_MODE };
    // SAFETY: this command has no pointers.
    unsafe { bpf(BPF_LINK_CREATE, &create) }
}

/// # Safety
///
/// The command takes these attributes, makes a descriptor, and the pointers in the attributes are valid.
unsafe fn bpf<T>(command: i32, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller promises; the kernel reads no more than the size given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    let descriptor = Errno::result(result)?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) })
}
