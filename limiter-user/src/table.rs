//! How tables look on a terminal.

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
