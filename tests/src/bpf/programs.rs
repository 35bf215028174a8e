//! Programs of a few instructions.

#![expect(unsafe_code, reason = "loading takes pointers")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use super::{BPF_LINK_CREATE, BPF_XDP, Create, make};

// Numbers of linux/bpf.h.
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_CGROUP_INET4_CONNECT: u32 = 10;
const BPF_FUNC_SET_RETVAL: i32 = 187;
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    /// Opcode, destination and source register, offset, immediate (Linux,
    /// Documentation/bpf/standardization/instruction-set.rst).
    pub const fn new(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Self {
        Self { code, registers: source << 4 | destination, offset, immediate }
    }

    /// The program that returns this, whatever it is given.
    pub const fn returning(value: i32) -> [Self; 2] {
        [Self::new(0xb7, 0, 0, 0, value), Self::new(0x95, 0, 0, 0, 0)]
    }
}

/// The first members of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// Loads an XDP program.
///
/// # Errors
///
/// What the kernel says; not the words of its verifier.
pub fn load_xdp(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let load = Load {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        // As aya has them: a tail call goes from like to like.
        flags: BPF_F_XDP_HAS_FRAGS,
        attach_type: BPF_XDP,
        ..Load::default()
    };
    // SAFETY: instructions and license live until the call returns, and are as long as they are said to be.
    unsafe { make(BPF_PROG_LOAD, &load) }
}

/// Lets every connection over IPv4 of the processes below a cgroup succeed that a program of theirs refuses, until the link is
/// closed: what programs further up say counts last (`compute_effective_progs`).
///
/// # Errors
///
/// What the kernel says.
pub fn pardon_connections(cgroup: &impl AsFd) -> io::Result<OwnedFd> {
    // bpf_set_retval(0), and go on.
    let pardon = [Instruction::new(0xb7, 1, 0, 0, 0), Instruction::new(0x85, 0, 0, 0, BPF_FUNC_SET_RETVAL)];
    let instructions = [pardon, Instruction::returning(1)].concat();
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        attach_type: BPF_CGROUP_INET4_CONNECT,
        ..Load::default()
    };
    // SAFETY: instructions and license live until the call returns, and are as long as they are said to be.
    let program = unsafe { make(BPF_PROG_LOAD, &load) }?;
    let (program, target) = (program.as_raw_fd(), cgroup.as_fd().as_raw_fd() as u32);
    let create = Create { program, target, attach_type: BPF_CGROUP_INET4_CONNECT, flags: 0 };
    // SAFETY: this command has no pointers.
    unsafe { make(BPF_LINK_CREATE, &create) }
}
