//! Reads what an interface receives and sends.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::Socket;

use super::clock::monotonic_from_wall;
use super::{listen, packet_socket};
use crate::net::Host;
use crate::sys;

const LARGEST_FRAME: usize = 65_536 + 64;
const BUFFER: usize = 16 << 20;
/// `struct tpacket_auxdata` of `linux/if_packet.h`.
const AUXDATA: usize = 20;

/// Sees all frames of an interface: those received after XDP, those sent after the queue in front of it.
#[derive(Debug)]
pub struct Capture {
    socket: Socket,
}

/// A frame that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// All of it, with its VLAN tags.
    pub bytes: Vec<u8>,
    /// When the kernel saw it.
    pub at_ns: u64,
    /// Whether the host sent it.
    pub outgoing: bool,
}

impl Capture {
    /// Sees the frames from now on.
    #[track_caller]
    pub fn open(host: &Host, interface: &str) -> Self {
        let socket = packet_socket(host);
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).expect("root may have a large buffer");
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("sockets have timestamps");
        sys::switch_on(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA)
            .expect("packet sockets tell about tags");
        listen(&socket, host, interface);
        Self { socket }
    }

    /// The next frame; waits for it for so long. Panics if frames were lost because nobody took them.
    #[track_caller]
    pub fn next(&self, timeout: Duration) -> Option<Captured> {
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).expect("a timeout of less than 24 days");
        let frame = (poll(&mut ready, timeout).expect("a socket can be polled") > 0).then(|| self.receive());
        let lost = sys::statistics(&self.socket).expect("a packet socket has statistics").tp_drops;
        assert_eq!(lost, 0, "more frames than a capture can hold");
        frame
    }

    /// The first frame in which `pick` sees something, as it sees it. It passes over all before, within the timeout.
    #[track_caller]
    pub fn find<T>(&self, timeout: Duration, mut pick: impl FnMut(&Captured) -> Option<T>) -> Option<T> {
        let end = Instant::now() + timeout;
        while let Some(frame) = self.next(end.saturating_duration_since(Instant::now())) {
            if let Some(seen) = pick(&frame) {
                return Some(seen);
            }
        }
        None
    }

    fn receive(&self) -> Captured {
        let mut bytes = vec![0; LARGEST_FRAME];
        let mut control = cmsg_space!(TimeSpec, [u8; AUXDATA]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message =
            recvmsg::<LinkAddr>(fd, &mut slices, Some(&mut control), flags).expect("a frame is ready");
        let (length, from) = (message.bytes, message.address.expect("a frame has a link-layer address"));
        let (mut at_ns, mut tag) = (None, None);
        for control in message.cmsgs().expect("there is room for two control messages") {
            match control {
                ControlMessageOwned::ScmTimestampns(time) => at_ns = Some(monotonic_from_wall(time)),
                ControlMessageOwned::Unknown(other)
                    if other.cmsg_header.cmsg_type == libc::PACKET_AUXDATA =>
                {
                    tag = stripped_tag(&other.data_bytes);
                }
                _ => {}
            }
        }
        bytes.truncate(length);
        if let Some(tag) = tag {
            let after_macs = 12;
            bytes.splice(after_macs..after_macs, tag);
        }
        let outgoing = from.pkttype() == libc::PACKET_OUTGOING;
        Captured { bytes, at_ns: at_ns.expect("timestamps are on"), outgoing }
    }
}

/// The VLAN tag that the kernel took off the frame, as it was on the wire.
fn stripped_tag(auxdata: &[u8]) -> Option<[u8; 4]> {
    let status = u32::from_ne_bytes(auxdata.get(..4)?.try_into().ok()?);
    let half = |at: usize| Some(u16::from_ne_bytes(auxdata.get(at..at + 2)?.try_into().ok()?).to_be_bytes());
    let valid = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
    if status & valid != valid {
        return None;
    }
    let ([a, b], [c, d]) = (half(18)?, half(16)?); // tp_vlan_tpid, tp_vlan_tci
    Some([a, b, c, d])
}
