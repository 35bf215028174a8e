//! The maps, behind functions. Their names and sizes are in `limiter_common::maps`.
//!
//! What a program has found in an array stays what it is while it runs. What it has found in a hash stays memory of that
//! hash, but somebody may take it out and put another key there: where the hash is preallocated or LRU, and since kernel 6.1
//! (`htab_elem_free` no longer waits for RCU) in every other. So what is read there are integers, of which any will do,
//! and each function says what comes of another key's.

#![expect(unsafe_code, reason = "the room of map memory")]

pub mod desk;
pub mod inbound;
pub mod lists;
pub mod open;
pub mod outbound;
pub mod report;
