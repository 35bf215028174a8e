//! How tables look on a terminal.

use std::time::{Duration, SystemTime};

use comfy_table::{ContentArrangement, Table, presets};

/// How wide a table may be at least, whatever a terminal says of itself.
const WIDTH: u16 = 80;

/// An empty table with these columns, which fits the terminal.
pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    // A serial console says that it has no columns at all.
    table.set_width(table.width().unwrap_or(0).max(WIDTH));
    table.set_header(columns.into_iter().collect::<Vec<_>>());
    table
}

/// A time to wait, in whole seconds, the begun one included: `1m 3s`.
pub fn seconds(milliseconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(milliseconds.div_ceil(1000))).to_string()
}

/// The time so many nanoseconds from now, in UTC.
pub fn time(ahead: i64) -> String {
    let duration = Duration::from_nanos(ahead.unsigned_abs());
    let now = SystemTime::now();
    let time = if ahead < 0 { now - duration } else { now + duration };
    humantime::format_rfc3339_millis(time).to_string()
}

/// `2026-01-31T12:00:00.123Z` without the milliseconds, so that a row fits 80 columns.
pub fn whole_seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(time, _)| format!("{time}Z"))
}
