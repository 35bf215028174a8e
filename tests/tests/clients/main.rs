//! What real applications see of a refusal, and that whatever resolves a name, its connection is charged to it.
//!
//! The programs are in `tests/clients`. Each tries in sequence, says what came of it, and ends by itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod addresses;
mod applications;
mod program;
mod resolvers;
mod setting;

use program::{Attempt, Program};
use setting::Setting;

/// EDQUOT.
const REFUSED: i32 = 122;
