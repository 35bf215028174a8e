//! What is not done here: a state for each source in an LRU hash, which is what first comes to mind.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use limiter_tests::bpf::{self, Instruction, MapKind};

const SOURCE: i16 = 26;
const XDP_DROP: i32 = 1;

/// A program that looks the source of an IPv4 packet up in such a hash, and puts it there if it is not in it.
pub fn program(entries: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let map = bpf::map_of(MapKind::LruHash, 8, entries)?;
    let mut code = Vec::new();
    let mut push = |code_byte, destination, source, offset, immediate| {
        code.push(Instruction::new(code_byte, destination, source, offset, immediate));
    };
    push(0x61, 2, 1, 0, 0); // r2 = data
    push(0x61, 3, 1, 4, 0); // r3 = data_end
    push(0xbf, 4, 2, 0, 0);
    push(0x07, 4, 0, 0, 34);
    push(0x2d, 4, 3, 17, 0); // if r4 > r3 give up
    push(0x61, 5, 2, SOURCE, 0);
    push(0x63, 10, 5, -4, 0); // the key, on the stack
    push(0x18, 1, 1, 0, map.as_raw_fd());
    push(0, 0, 0, 0, 0);
    push(0xbf, 2, 10, 0, 0);
    push(0x07, 2, 0, 0, -4);
    push(0x85, 0, 0, 0, 1); // bpf_map_lookup_elem
    push(0x55, 0, 0, 9, 0); // there: done
    push(0x7a, 10, 0, -16, 1); // the value
    push(0x18, 1, 1, 0, map.as_raw_fd());
    push(0, 0, 0, 0, 0);
    push(0xbf, 2, 10, 0, 0);
    push(0x07, 2, 0, 0, -4);
    push(0xbf, 3, 10, 0, 0);
    push(0x07, 3, 0, 0, -16);
    push(0xb7, 4, 0, 0, 0);
    push(0x85, 0, 0, 0, 2); // bpf_map_update_elem
    push(0xb7, 0, 0, 0, XDP_DROP);
    push(0x95, 0, 0, 0, 0);
    Ok((bpf::load_xdp(&code)?, map))
}
