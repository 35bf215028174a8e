//! All elements of a hash, many with each system call (`BPF_MAP_LOOKUP_BATCH`, kernel 5.6).
//!
//! One by one, as aya iterates, a full table of names takes 130,000 calls.

#![expect(unsafe_code, reason = "a system call that aya does not have")]

use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, ensure};
use aya::Pod;
use aya::maps::MapData;
use aya_obj::generated::bpf_cmd;
use nix::errno::Errno;

use super::link::{call, no_attributes};

/// Elements a call. The kernel hands over whole buckets, and no bucket comes near this.
const BATCH: usize = 512;

/// Shows all elements of a hash. One that comes or goes meanwhile is shown or not.
///
/// # Errors
///
/// As the kernel says.
pub fn for_each<K: Pod, V: Pod>(map: &MapData, mut show: impl FnMut(K, &V)) -> anyhow::Result<()> {
    let info = map.info()?;
    let sizes = (info.key_size() as usize, info.value_size() as usize);
    ensure!(sizes == (size_of::<K>(), size_of::<V>()), "a map has elements of other sizes");
    let (mut keys, mut values) = (Vec::<K>::with_capacity(BATCH), Vec::<V>::with_capacity(BATCH));
    let memory = (keys.as_mut_ptr() as u64, values.as_mut_ptr() as u64);
    let brought = |count| {
        // SAFETY: the kernel has written so many, and every pattern of bytes is a value of plain data.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        keys.iter().zip(&values).for_each(|(key, value)| show(*key, value));
    };
    // SAFETY: the kernel writes at most BATCH elements of these sizes, for which there is room.
    unsafe { walk(map, memory, brought) }
}

/// How many elements a hash has.
///
/// # Errors
///
/// As the kernel says.
pub fn count(map: &MapData) -> anyhow::Result<usize> {
    let info = map.info()?;
    let room = |size: u32| vec![0_u8; size as usize * BATCH];
    let (mut keys, mut values) = (room(info.key_size()), room(info.value_size()));
    let memory = (keys.as_mut_ptr() as u64, values.as_mut_ptr() as u64);
    let mut sum = 0;
    // SAFETY: the kernel writes at most BATCH elements of the map's own sizes, for which there is room.
    unsafe { walk(map, memory, |count| sum += count) }?;
    Ok(sum)
}

/// Says after each call how many elements it brought.
///
/// # Safety
///
/// `memory` is the addresses of room for [`BATCH`] keys and as many values.
unsafe fn walk(
    map: &MapData,
    (keys, values): (u64, u64),
    mut brought: impl FnMut(usize),
) -> anyhow::Result<()> {
    // The number of a bucket, as far as the kernel is concerned.
    let (mut from, mut to) = (0_u32, 0_u32);
    let mut is_first = true;
    loop {
        let mut attributes = no_attributes();
        attributes.batch.in_batch = if is_first { 0 } else { (&raw const from) as u64 };
        attributes.batch.out_batch = (&raw mut to) as u64;
        attributes.batch.keys = keys;
        attributes.batch.values = values;
        attributes.batch.count = BATCH as u32;
        attributes.batch.map_fd = map.fd().as_fd().as_raw_fd() as u32;
        let result = call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attributes);
        let is_last = match &result {
            Err(error) => error.raw_os_error() == Some(Errno::ENOENT as i32),
            Ok(_) => false,
        };
        if !is_last {
            result.context("cannot read a map")?;
        }
        // SAFETY: the kernel has written this member, and it is a number.
        brought(unsafe { attributes.batch.count } as usize);
        if is_last {
            return Ok(());
        }
        (from, is_first) = (to, false);
    }
}
