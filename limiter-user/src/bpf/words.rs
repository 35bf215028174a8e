//! A map of words, mapped into this process.

#![expect(unsafe_code, reason = "the room of memory that the kernel's programs share")]

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::AtomicU64;

use anyhow::Context as _;
use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};

/// All elements of an array, one after the other.
pub struct Words(MmapRaw);

impl Words {
    /// Maps an array with this name.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn map(data: &MapData, name: &str) -> anyhow::Result<Self> {
        let info = data.info()?;
        // The kernel puts each element on a multiple of eight (`array_map_alloc`).
        let length = info.max_entries() as usize * (info.value_size() as usize).next_multiple_of(8);
        let memory = MmapOptions::new().len(length).map_raw(data.fd().as_fd().as_raw_fd());
        memory.map(Self).with_context(|| format!("cannot map {name}"))
    }

    /// All of them.
    pub fn all(&self) -> &[AtomicU64] {
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping starts on a page")]
        let first = self.0.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping starts on a page, is this long, lives as long as `self`, and everybody who writes it,
        // the kernel's programs included, does so by whole words or compare-and-swap.
        unsafe { std::slice::from_raw_parts(first, self.0.len() / size_of::<u64>()) }
    }
}
