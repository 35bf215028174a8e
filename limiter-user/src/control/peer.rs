//! Who is at the other end of a Unix socket.

#![expect(unsafe_code, reason = "neither std nor nix asks for the groups of a peer")]

use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc::{SO_PEERGROUPS, SOL_SOCKET, getsockopt, gid_t, socklen_t};
use nix::unistd::Gid;
use tokio::net::UnixStream;

/// Whether it is in a group: by its own, or by one of the others that it had when it connected.
///
/// # Errors
///
/// As the kernel says.
pub fn is_in(stream: &UnixStream, group: Gid) -> io::Result<bool> {
    Ok(stream.peer_cred()?.gid() == group.as_raw() || others(stream)?.contains(&group.as_raw()))
}

/// Its supplementary groups (Linux 4.13). The kernel says how many there are where they find no room.
fn others(stream: &UnixStream) -> io::Result<Vec<gid_t>> {
    let mut groups: Vec<gid_t> = vec![0; 32];
    loop {
        let mut bytes = size_of_val(&groups[..]) as socklen_t;
        // SAFETY: the kernel writes at most `bytes` bytes, into a list of that size.
        let result = unsafe {
            let target = groups.as_mut_ptr().cast();
            getsockopt(stream.as_raw_fd(), SOL_SOCKET, SO_PEERGROUPS, target, &raw mut bytes)
        };
        let count = bytes as usize / size_of::<gid_t>();
        match Errno::result(result) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            Err(Errno::ERANGE) if count > groups.len() => groups.resize(count, 0),
            Err(error) => return Err(error.into()),
        }
    }
}
