//! For how long something was there and not limited.

use std::collections::HashMap;
use std::fmt;

use crate::clock;
use crate::state::Again;
use crate::table;

/// Gaps that have begun and not ended, by the names of the links that are missing.
pub struct Gaps {
    /// When it was last looked whether all is attached, by [`clock::now`].
    looked_at: u64,
    open: HashMap<String, Gap>,
}

/// A gap: since when, by [`clock::now`], and whether that is when it began, or may be long before.
#[derive(Debug, Clone, Copy)]
struct Gap {
    since: u64,
    is_exact: bool,
}

/// A gap that is over. Written, it ends a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    ms: u64,
    is_exact: bool,
}

impl Gaps {
    /// None yet: all is attached now.
    pub fn none() -> Self {
        Self { looked_at: clock::now(), open: HashMap::new() }
    }

    /// Begins one, if it has not begun. What came was told of at `told`, where somebody told; `made` is when it was made, as
    /// far as that is known.
    pub fn begin(&mut self, link: &str, told: Option<u64>, made: Option<u64>) {
        let looked_at = self.looked_at;
        self.open.entry(link.to_owned()).or_insert_with(|| {
            let told = told.unwrap_or(looked_at).max(looked_at);
            match made {
                Some(made) if made > looked_at => Gap { since: made.min(told), is_exact: true },
                _ => Gap { since: told, is_exact: told > looked_at },
            }
        });
    }

    /// Ends one.
    pub fn end(&mut self, link: &str) -> Closed {
        let now = clock::now();
        let gap = self.open.remove(link).unwrap_or(Gap { since: self.looked_at, is_exact: false });
        Closed { ms: now.saturating_sub(gap.since).div_ceil(1_000_000), is_exact: gap.is_exact }
    }

    /// All was looked at, from `began` on. Where nothing is waited for, no gap is open.
    pub fn looked(&mut self, began: u64, waits: bool) {
        self.looked_at = began;
        if !waits {
            self.open.clear();
        }
    }
}

impl Closed {
    /// For `status`: it is over now.
    pub fn again(self) -> Again {
        Again { attached_at: table::time(0), gap_ms: self.ms }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.is_exact { "" } else { "up to " };
        write!(f, "nothing was limited there for {most}{} ms", self.ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_begins_when_it_is_told_or_else_with_the_last_look() {
        let looked_at = clock::now();
        let since = |told: Option<u64>, made: Option<u64>| {
            let mut gaps = Gaps { looked_at, open: HashMap::new() };
            gaps.begin("7", told.map(|told| looked_at + told), made.map(|made| looked_at - 100 + made));
            // Nothing that happens later changes it.
            gaps.begin("7", Some(looked_at + 9999), None);
            (gaps.open["7"].since - looked_at, gaps.open["7"].is_exact)
        };
        assert_eq!(since(None, None), (0, false));
        assert_eq!(since(Some(50), None), (50, true));
        assert_eq!(since(Some(50), Some(130)), (30, true), "made before it was told");
        assert_eq!(since(Some(50), Some(170)), (50, true), "a clock that is late");
        assert_eq!(since(Some(50), Some(20)), (50, true), "made before the last look: a clock was set");
        assert_eq!(since(None, Some(130)), (0, true));
    }

    #[test]
    fn a_gap_that_is_over_ends_a_sentence() {
        assert_eq!(Closed { ms: 3, is_exact: true }.to_string(), "nothing was limited there for 3 ms");
        assert_eq!(
            Closed { ms: 812, is_exact: false }.to_string(),
            "nothing was limited there for up to 812 ms"
        );
    }
}
