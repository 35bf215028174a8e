//! bpf(2), as far as programs of a few instructions need it.

#![expect(unsafe_code, reason = "a system call that aya wraps only for programs of an object file")]

mod programs;

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

pub use programs::{Instruction, load_xdp, pardon_connections};

// Numbers of linux/bpf.h and linux/if_link.h.
const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_OBJ_GET: i32 = 7;
const BPF_PROG_TEST_RUN: i32 = 10;
const BPF_LINK_CREATE: i32 = 28;
const BPF_LINK_DETACH: i32 = 34;
const BPF_XDP: u32 = 37;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 2;
const XDP_FLAGS_DRV_MODE: u32 = 4;

/// Which map, for [`map`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_ARRAY`.
    Array = 2,
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    Programs = 3,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash = 9,
}

/// For `BPF_LINK_CREATE`.
#[repr(C)]
struct Create {
    program: RawFd,
    /// The number of an interface, or the descriptor of a cgroup.
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// For `BPF_MAP_CREATE`.
#[repr(C)]
struct CreateMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

/// For `BPF_OBJ_GET`.
#[repr(C)]
struct Get {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// For `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
struct Update {
    map: RawFd,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// For `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct Run {
    program: RawFd,
    returned: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

/// Attaches a program to an interface of the thread's network namespace, until the link is closed.
///
/// # Errors
///
/// What the kernel says.
pub fn attach_xdp(program: &impl AsFd, interface: u32) -> io::Result<OwnedFd> {
    let program = program.as_fd().as_raw_fd();
    let create = Create { program, target: interface, attach_type: BPF_XDP, flags: XDP_FLAGS_DRV_MODE };
    // SAFETY: this command has no pointers.
    unsafe { make(BPF_LINK_CREATE, &create) }
}

/// Makes a map of one element; an array's is so many bytes.
///
/// # Errors
///
/// What the kernel says.
pub fn map(kind: MapKind, value_size: u32) -> io::Result<OwnedFd> {
    map_of(kind, value_size, 1)
}

/// Makes a map of so many elements, with keys of four bytes.
///
/// # Errors
///
/// What the kernel says.
pub fn map_of(kind: MapKind, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    let create = CreateMap { kind: kind as u32, key_size: 4, value_size, max_entries };
    // SAFETY: this command has no pointers here.
    unsafe { make(BPF_MAP_CREATE, &create) }
}

/// Bytes that the kernel has set aside for a map (`bpf_map_memory_usage`, in fdinfo).
#[track_caller]
pub fn memory(map: &impl AsFd) -> u64 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd()));
    let info = info.expect("a descriptor can be looked at");
    let line = info.lines().find_map(|line| line.strip_prefix("memlock:")).expect("it says so");
    line.trim().parse().expect("a number")
}

/// Takes the program of a pinned link off what it is on, as whoever has the rights may; the link stays pinned.
///
/// # Errors
///
/// What the kernel says.
pub fn detach(pin: &Path) -> io::Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let get = Get { path: path.as_ptr() as u64, descriptor: 0, flags: 0 };
    // SAFETY: the path lives until the call returns.
    let link = unsafe { make(BPF_OBJ_GET, &get) }?;
    // SAFETY: the attributes are one descriptor.
    unsafe { bpf(BPF_LINK_DETACH, &mut link.as_raw_fd()) }.map(drop)
}

/// Puts a program into the one place of a map of programs.
///
/// # Errors
///
/// What the kernel says.
pub fn set_program(map: &OwnedFd, program: &impl AsFd) -> io::Result<()> {
    let (key, value) = (0u32, program.as_fd().as_raw_fd());
    let update = Update {
        map: map.as_raw_fd(),
        padding: 0,
        key: (&raw const key) as u64,
        value: (&raw const value) as u64,
        flags: 0,
    };
    // SAFETY: key and value live until the call returns, and are of the map's sizes.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut { update }) }.map(drop)
}

/// Runs an XDP program so many times on one frame, which keeps what each run has changed; says what the last returned.
///
/// # Errors
///
/// What the kernel says.
pub fn test_run(program: &impl AsFd, frame: &[u8], repeat: u32) -> io::Result<u32> {
    run(Run { repeat, ..on(program, frame) }).map(|run| run.returned)
}

/// The frame as an XDP program leaves it, which must not make it longer.
///
/// # Errors
///
/// What the kernel says.
pub fn test_run_out(program: &impl AsFd, frame: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = vec![0; frame.len()];
    let (data_out, size_out) = (out.as_mut_ptr() as u64, out.len() as u32);
    let run = run(Run { repeat: 1, data_out, size_out, ..on(program, frame) })?;
    out.truncate(run.size_out as usize);
    Ok(out)
}

/// Lets a program send or redirect so many copies of a frame, `batch_size` at a time, as if interface number `interface`
/// of the thread's network namespace had received them. They come from a pool: each keeps what its last run changed.
///
/// # Errors
///
/// What the kernel says.
pub fn run_live(
    program: &impl AsFd,
    frame: &[u8],
    repeat: u32,
    batch_size: u32,
    interface: u32,
) -> io::Result<()> {
    // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let context = [0, frame.len() as u32, 0, interface, 0, 0];
    run(Run {
        repeat,
        batch_size,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        context_in: context.as_ptr() as u64,
        context_size_in: size_of_val(&context) as u32,
        ..on(program, frame)
    })
    .map(drop)
}

fn on(program: &impl AsFd, frame: &[u8]) -> Run {
    let (data_in, size_in) = (frame.as_ptr() as u64, frame.len() as u32);
    Run { program: program.as_fd().as_raw_fd(), data_in, size_in, ..Run::default() }
}

fn run(mut run: Run) -> io::Result<Run> {
    // SAFETY: what the pointers point to is borrowed by the callers, and as long as they say.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut run) }?;
    Ok(run)
}

/// # Safety
///
/// The command takes these attributes, makes a descriptor, and the pointers in the attributes are valid.
unsafe fn make<T>(command: i32, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller promises; these commands write nothing into their attributes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    let descriptor = Errno::result(result)?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) })
}

/// # Safety
///
/// The command takes these attributes, and the pointers in the attributes are valid.
unsafe fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: as the caller promises; the kernel reads and writes no more than the size given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    Ok(Errno::result(result)?)
}
