//! The room for what has no safe wrapper: `pre_exec`, a user for a thread, options of sockets, ethtool's ioctl.

#![expect(unsafe_code, reason = "system calls that neither std nor nix nor socket2 wrap")]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::{prctl, signal::Signal};
use nix::unistd::{Pid, chdir, getppid, setsid, write};
use socket2::{SockAddr, SockAddrStorage, Socket};

/// Where a command is to run.
pub struct Place {
    /// Its network namespace.
    pub network: OwnedFd,
    /// Its mount namespace, and the working directory there: to enter one is to land in its root directory.
    pub mounts: Option<(OwnedFd, PathBuf)>,
}

/// Lets the command run there, and die with the thread that starts it.
pub fn place(command: &mut Command, place: Place) {
    let test = Pid::this();
    let enter = move || -> io::Result<()> {
        if let Some((mounts, directory)) = &place.mounts {
            setns(mounts, CloneFlags::CLONE_NEWNS)?;
            chdir(directory)?;
        }
        setns(&place.network, CloneFlags::CLONE_NEWNET)?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The test may have died before the line above.
        if getppid() == test { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec only system calls are made; nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(enter) };
}

/// Lets the command run in the cgroup whose `cgroup.procs` this is.
pub fn join_cgroup(command: &mut Command, processes: OwnedFd) {
    // Zero is the process that writes (kernel documentation, cgroup-v2).
    let enter = move || -> io::Result<()> { Ok(write(&processes, b"0").map(drop)?) };
    // SAFETY: between fork and exec one system call is made; nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(enter) };
}

/// Lets the command run in a session of its own, out of reach of what a terminal sends to the test.
pub fn lead_session(command: &mut Command) {
    let enter = || -> io::Result<()> { Ok(setsid().map(drop)?) };
    // SAFETY: between fork and exec one system call is made; nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(enter) };
}

/// Makes this thread, and no other, act as this user from now on. (The C library's function would do it for all.)
pub fn become_user(id: u32) -> io::Result<()> {
    // SAFETY: numbers in, a number out.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets a packet socket receive from, and send on, one interface.
pub fn bind(socket: &Socket, interface: u32, protocol: i32) -> io::Result<()> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a sockaddr_ll is one of the addresses that the storage is for.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (protocol as u16).to_be();
    address.sll_ifindex = interface as i32;
    // SAFETY: the storage holds an address of this length.
    socket.bind(&unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as u32) })
}

/// Switches an option of a socket on.
pub fn switch_on(socket: &Socket, level: i32, option: i32) -> io::Result<()> {
    let on: i32 = 1;
    let length = size_of::<i32>() as u32;
    // SAFETY: the pointer and the length are those of a live integer.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    Ok(Errno::result(result).map(drop)?)
}

/// What a packet socket was offered since the last call, and how much of it found no room (packet(7)).
pub fn statistics(socket: &Socket) -> io::Result<libc::tpacket_stats> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of::<libc::tpacket_stats>() as u32;
    // SAFETY: the kernel writes at most `length` bytes, into a structure of that size.
    let result = unsafe {
        let (option, target) = (libc::PACKET_STATISTICS, (&raw mut statistics).cast());
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, target, &raw mut length)
    };
    Errno::result(result)?;
    Ok(statistics)
}

/// Sets one of an interface's values by its ethtool command; `socket` says in which namespace.
pub fn ethtool(socket: &Socket, interface: &str, command: u32, value: u32) -> io::Result<()> {
    /// `struct ethtool_value` of `linux/ethtool.h`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }

    assert!(interface.len() < libc::IFNAMSIZ, "{interface} is no name of an interface");
    let mut value = Value { command, data: value };
    // SAFETY: all zeros are a value of this structure of integers and pointers.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: request and value outlive the call, and the commands used here read no more than a Value.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    Ok(Errno::result(result).map(drop)?)
}
