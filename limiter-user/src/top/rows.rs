//! Rows of the panes: cells that know how they compare, whatever they look like.

use std::cmp::Ordering;

use super::Pane;
use super::model::Tone;
use crate::table;

/// What is in a row at some place.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// So many a second.
    Rate(f64),
    /// A part of a whole, in percent.
    Percent(u64),
    /// What is refused until then, in nanoseconds of `CLOCK_MONOTONIC`, and whether that is a back-off.
    Until(u64, bool),
    /// Nothing that can be said.
    Nothing,
}

/// A row.
pub type Row = Vec<Cell>;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// How wide it is; `None` where it takes what the others leave.
    pub width: Option<u16>,
    /// Whether it has numbers, which stand at its right end, and of which the greatest come first.
    pub is_number: bool,
    /// On screens of fewer columns than this it is left out.
    pub from: u16,
}

const fn text(title: &'static str) -> Column {
    Column { title, width: None, is_number: false, from: 0 }
}

const fn word(title: &'static str, width: u16) -> Column {
    Column { width: Some(width), ..text(title) }
}

const fn number(title: &'static str, width: u16) -> Column {
    Column { is_number: true, ..word(title, width) }
}

const fn from(screen: u16, column: Column) -> Column {
    Column { from: screen, ..column }
}

/// Wide enough for `back-off 23h 59m`, and nearly always for the seconds.
const STATE: Column = number("state", 17);

const RULES: [Column; 7] = [
    text("rule"),
    from(60, word("way", 3)),
    number("passed/s", 9),
    number("refused/s", 10),
    from(70, number("passed", 12)),
    from(70, number("refused", 12)),
    from(60, word("over it", 8)),
];
const SOURCES: [Column; 6] = [
    text("source"),
    from(60, word("rule", 12)),
    number("open", 6),
    from(60, number("of", 6)),
    from(70, number("used", 6)),
    STATE,
];
const HOSTS: [Column; 7] = [
    text("host"),
    from(70, word("rule", 12)),
    from(60, number("allowed/s", 10)),
    from(50, number("refused/s", 10)),
    from(100, number("allowed", 9)),
    from(100, number("refused", 9)),
    STATE,
];
const BACKOFF: [Column; 4] = [text("who"), from(60, text("rule")), from(60, word("way", 3)), STATE];

/// The columns of a pane.
pub const fn columns(pane: Pane) -> &'static [Column] {
    match pane {
        Pane::Rules => &RULES,
        Pane::Sources => &SOURCES,
        Pane::Hosts => &HOSTS,
        Pane::Backoff => &BACKOFF,
    }
}

impl Cell {
    /// How it looks at `now`, in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn words(&self, now: u64) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Rate(rate) if *rate == 0.0 => "0".into(),
            // Who comes once in a while is told apart from who does not come.
            Self::Rate(rate) if *rate < 9.95 => format!("{rate:.1}"),
            Self::Rate(rate) => format!("{rate:.0}"),
            Self::Percent(percent) => format!("{percent} %"),
            Self::Until(until, _) if *until <= now => "ok".into(),
            Self::Until(until, backs_off) => {
                let wait = table::seconds((until - now).div_ceil(1_000_000));
                if *backs_off { format!("back-off {wait}") } else { format!("refused {wait}") }
            }
            Self::Nothing => "-".into(),
        }
    }

    /// What it is like at `now`.
    pub const fn tone(&self, now: u64) -> Tone {
        match self {
            Self::Until(until, true) if *until > now => Tone::Backoff,
            Self::Until(until, false) if *until > now => Tone::Refused,
            _ => Tone::Plain,
        }
    }

    /// Which of two comes first in a list from the least to the greatest.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.weight().total_cmp(&other.weight()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "what is lost changes no order that anybody sees")]
    fn weight(&self) -> f64 {
        match self {
            Self::Text(_) | Self::Nothing => -1.0,
            Self::Count(count) | Self::Percent(count) => *count as f64,
            Self::Rate(rate) => *rate,
            Self::Until(until, _) => *until as f64,
        }
    }

    /// Whether it has these words in it, which are in lower case.
    pub fn has(&self, words: &str) -> bool {
        matches!(self, Self::Text(text) if text.to_lowercase().contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn cells_look_like_this() {
        let now = 100 * SECOND;
        for (cell, words) in [
            (Cell::Text("web".into()), "web"),
            (Cell::Count(12_345), "12345"),
            (Cell::Rate(0.0), "0"),
            (Cell::Rate(0.04), "0.0"),
            (Cell::Rate(9.94), "9.9"),
            (Cell::Rate(9.96), "10"),
            (Cell::Rate(1234.4), "1234"),
            (Cell::Percent(50), "50 %"),
            (Cell::Until(now, true), "ok"),
            (Cell::Until(0, false), "ok"),
            (Cell::Until(now + 1, false), "refused 1s"),
            (Cell::Until(now + 63 * SECOND, true), "back-off 1m 3s"),
            (Cell::Nothing, "-"),
        ] {
            assert_eq!(cell.words(now), words, "{cell:?}");
        }
    }

    #[test]
    fn nothing_comes_before_the_least_number() {
        assert_eq!(Cell::Nothing.compare(&Cell::Count(0)), Ordering::Less);
        assert_eq!(Cell::Rate(2.0).compare(&Cell::Rate(10.0)), Ordering::Less);
        assert_eq!(Cell::Text("b".into()).compare(&Cell::Text("a".into())), Ordering::Greater);
    }
}
