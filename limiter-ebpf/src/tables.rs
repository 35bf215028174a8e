//! The maps, behind functions. Their names and sizes are in `limiter_common::maps`.

#![expect(unsafe_code, reason = "the room of map memory")]

pub mod desk;
pub mod inbound;
pub mod lists;
pub mod open;
pub mod outbound;
pub mod report;
