//! Raw packet memory. Every access compares with the end of the packet first: the verifier asks for it.

#![expect(unsafe_code, reason = "the room of packet memory")]

use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_skb_load_bytes, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use limiter_common::key::Address;
use limiter_common::packet::extensions::Upper;
use limiter_common::packet::{Header, Packet};
use limiter_common::verdict::Skip;

use crate::boundary;

/// The frame that a program was called for.
pub struct Frame<'a> {
    context: &'a XdpContext,
}

impl<'a> Frame<'a> {
    #[inline(always)]
    pub const fn new(context: &'a XdpContext) -> Self {
        Self { context }
    }

    /// Overwrites bytes; `None` where they would run past the end.
    #[inline(always)]
    pub fn write<T: Header>(&self, offset: usize, value: T) -> Option<()> {
        let target = self.pointer::<T>(offset)?;
        // SAFETY: `pointer` compared with the end; the write asks for no alignment, and nobody has a reference into a packet.
        unsafe { target.write_unaligned(value) };
        Some(())
    }

    /// Cuts the frame to `length` bytes; `None` where the kernel does not.
    #[inline(always)]
    pub fn truncate(&self, length: usize) -> Option<()> {
        // In 64 bits up to here: the verifier allows no 32-bit arithmetic on packet pointers.
        let now = core::hint::black_box(self.length());
        let change = length as i32 - now as i32;
        if change == 0 {
            return Some(());
        }
        // SAFETY: the context is the one that the kernel called us with, and no pointer into the packet is kept.
        let result = unsafe { bpf_xdp_adjust_tail(self.context.ctx, change) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn pointer<T>(&self, offset: usize) -> Option<*mut T> {
        let start = self.context.data() + offset;
        (start + size_of::<T>() <= self.context.data_end()).then_some(start as *mut T)
    }
}

impl Packet for Frame<'_> {
    #[inline(always)]
    fn read<T: Header>(&self, offset: usize) -> Option<T> {
        let source = self.pointer::<T>(offset)?;
        // SAFETY: `pointer` compared with the end; the read asks for no alignment, and any bytes are a Header.
        Some(unsafe { source.read_unaligned() })
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.context.data_end() - self.context.data()
    }

    #[inline(always)]
    fn skip_extensions(&self, first: u8, offset: usize) -> Result<Upper, Skip> {
        boundary::skip_extensions(self.context, first, offset)
    }
}

/// A packet that a socket sends or receives; it begins with its IP header.
pub struct SocketPacket(pub *mut __sk_buff);

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

/// What most packets need no more to be known of: the other end, and the protocol.
pub struct Brief {
    pub remote: Address,
    /// Of TCP or UDP.
    pub remote_port: u16,
    pub protocol: u8,
}

impl SocketPacket {
    const TCP: u8 = 6;
    const UDP: u8 = 17;

    /// Of TCP and UDP right behind a plain IP header, read where it lies: a helper that copies it costs more than the rest
    /// of what is done for such a packet. `None` for whatever else.
    #[inline(always)]
    pub fn brief(&self, direction: Direction) -> Option<Brief> {
        let is_sent = direction == Direction::Sent;
        // All words in one go, as in `Frame`. They are in network order, and so are the constants.
        let [first, second, about, source, destination, ports] = self.start::<6>()?;
        let (protocol, remote, ports) = if first & 0xff == 0x45 {
            if second & 0x1fff_u32.to_be() != 0 {
                return None; // a later fragment
            }
            let remote = u32::from_be(if is_sent { destination } else { source });
            ((about >> 8) as u8, Address::from_words([0, 0, 0xffff, remote]), ports)
        } else if first >> 4 & 0xf == 6 {
            let words = self.start::<11>()?;
            let at = if is_sent { 6 } else { 2 };
            let remote = [words[at], words[at + 1], words[at + 2], words[at + 3]].map(u32::from_be);
            ((second >> 16) as u8, Address::from_words(remote), words[10])
        } else {
            return None;
        };
        let remote_port = u16::from_be(if is_sent { (ports >> 16) as u16 } else { ports as u16 });
        matches!(protocol, Self::TCP | Self::UDP).then_some(Brief { remote, remote_port, protocol })
    }

    /// So many words from the IP header on, where they lie in one piece.
    #[inline(always)]
    fn start<const N: usize>(&self) -> Option<[u32; N]> {
        // SAFETY: the context that the kernel called us with.
        let (start, end) = unsafe { ((*self.0).data as usize, (*self.0).data_end as usize) };
        // SAFETY: compared with the end; the read asks for no alignment, and any bytes are such words.
        (start + N * 4 <= end).then(|| unsafe { (start as *const [u32; N]).read_unaligned() })
    }
}

impl Packet for SocketPacket {
    #[inline(always)]
    fn read<T: Header>(&self, offset: usize) -> Option<T> {
        let mut header = MaybeUninit::<T>::uninit();
        let target: *mut c_void = header.as_mut_ptr().cast();
        // SAFETY: the target has room for that many bytes.
        let result =
            unsafe { bpf_skb_load_bytes(self.0.cast(), offset as u32, target, size_of::<T>() as u32) };
        // SAFETY: the kernel has written it, and any bytes are a Header.
        (result == 0).then(|| unsafe { header.assume_init() })
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the context that the kernel called us with.
        unsafe { (*self.0).len as usize }
    }
}
