//! When a flood begins and ends: while sources without a handshake are over the budget that they share.

/// A flood is over when nothing was refused for so long, in nanoseconds.
pub const GAP: u64 = 10_000_000_000;
/// How often the time of a refusal is written at most: every CPU writes the same word.
const STEP: u64 = 1_000_000_000;

/// What is to be noted of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Nothing.
    Nothing,
    /// It is the last one.
    Last,
    /// It is the first one of a flood, and the last one.
    First,
}

/// Of a refusal at `now`, where the last one that was noted was at `last`.
#[inline(always)]
pub const fn note(last: u64, now: u64) -> Note {
    // Another CPU may have read its clock a moment later.
    let since = now.wrapping_sub(last) as i64;
    if last == 0 || since > GAP as i64 {
        Note::First
    } else if since > STEP as i64 {
        Note::Last
    } else {
        Note::Nothing
    }
}

/// Whether a flood goes on at `now`.
pub const fn is_on(last: u64, now: u64) -> bool {
    last != 0 && now.saturating_sub(last) <= GAP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_lasts_until_it_is_quiet() {
        const SECOND: u64 = 1_000_000_000;
        let start = 1 << 40;
        assert_eq!(note(0, start), Note::First);
        assert_eq!(note(start, start + SECOND / 2), Note::Nothing);
        assert_eq!(note(start, start - 5), Note::Nothing, "clocks differ");
        assert_eq!(note(start, start + 2 * SECOND), Note::Last);
        assert_eq!(note(start, start + GAP + 2), Note::First);
        assert!(is_on(start, start + GAP) && !is_on(start, start + GAP + 1) && !is_on(0, 5));
    }
}
