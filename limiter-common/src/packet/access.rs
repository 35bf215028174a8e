//! Bytes of a frame, read header by header: the parser sees a slice on the host and a packet in the kernel alike.

use network_types::eth::EthHdr;

use super::extensions::{self, Upper};
use crate::verdict::Skip;

/// A header that may be read from any bytes.
///
/// # Safety
///
/// Any bytes are a value of it, and it has no padding.
#[expect(unsafe_code, reason = "the promise is about memory layout")]
pub unsafe trait Header: Copy {}

#[expect(unsafe_code, reason = "see the trait")]
mod headers {
    use super::{EthHdr, Header};

    // SAFETY: repr(C, packed), arrays of bytes and a u16.
    unsafe impl Header for EthHdr {}
    // SAFETY: bytes.
    unsafe impl<const N: usize> Header for [u8; N] {}
    // SAFETY: integers.
    unsafe impl<const N: usize> Header for [u16; N] {}
    // SAFETY: integers.
    unsafe impl<const N: usize> Header for [u32; N] {}
}

/// Bytes of a frame, wherever they lie.
pub trait Packet {
    /// Copies a header out; `None` where it would run past the end.
    fn read<T: Header>(&self, offset: usize) -> Option<T>;
    /// Length of the frame in bytes.
    fn length(&self) -> usize;
    /// Finds the TCP header behind extension headers. `first` is the type of the one at `offset`.
    ///
    /// # Errors
    ///
    /// As [`parse`](super::parse).
    #[inline(always)]
    fn skip_extensions(&self, first: u8, offset: usize) -> Result<Upper, Skip> {
        extensions::skip(self, first, offset)
    }
}

impl Packet for [u8] {
    #[expect(unsafe_code, reason = "reads a header from bytes")]
    fn read<T: Header>(&self, offset: usize) -> Option<T> {
        let bytes = self.get(offset..offset.checked_add(size_of::<T>())?)?;
        // SAFETY: the slice has the size of T, and Header promises that any bytes will do.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn length(&self) -> usize {
        self.len()
    }
}
