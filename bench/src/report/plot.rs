//! A plot of horizontal bars: the median of each case, with its least and greatest as a line across.

use std::fmt::Write as _;

use super::{Section, number};
use crate::measure::Measured;

const WIDTH: f64 = 860.0;
/// No letter is wider, on average.
const LETTER: f64 = 7.4;
const LABELS: f64 = 330.0;
const BARS: f64 = 420.0;
const ROW: f64 = 24.0;
const TOP: f64 = 40.0;

/// Colours for either kind of page.
pub const STYLE: &str = "<style>text { fill: #222 } .bar { fill: #4878a8 } .page { fill: #fff }
.range { stroke: #222; stroke-width: 1.5 } .grid { stroke: #ddd } .line { stroke: #4878a8; stroke-width: 2; fill: none }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .bar { fill: #6a9fd4 } .page { fill: #16181c }
.range { stroke: #ddd } .grid { stroke: #333 } .line { stroke: #6a9fd4 } }</style>";

/// An SVG document. Colours follow what the reader prefers, light or dark.
pub fn bars(section: &Section) -> String {
    let height = TOP + ROW * section.comparable().count() as f64 + 16.0;
    let most = section.comparable().map(Measured::median).fold(f64::MIN_POSITIVE, f64::max);
    let longest = section.comparable().map(|case| case.name.len()).max().unwrap_or(0);
    let left = (LABELS - 10.0 - longest as f64 * LETTER).min(0.0).floor();
    let width = WIDTH - left;
    let x = |value: f64| LABELS + (value / most).min(1.1) * BARS;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13">
{STYLE}
<rect class="page" x="{left}" width="{width}" height="{height}"/>
<text x="{}" y="24" font-size="15" font-weight="600">{}</text>
"#,
        left + 12.0,
        escape(section.title)
    );
    for (row, case) in section.comparable().enumerate() {
        let y = TOP + ROW * row as f64;
        let (minimum, median, maximum) = (x(case.minimum()), x(case.median()), x(case.maximum()));
        let middle = y + ROW / 2.0 - 2.0;
        let _ = writeln!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="end">{}</text><rect class="bar" x="{LABELS}" y="{}" width="{:.1}" height="{}"/><path class="range" d="M{minimum:.1} {middle}H{maximum:.1}"/><text x="{:.1}" y="{}">{} {}</text>"#,
            LABELS - 10.0,
            y + 15.0,
            escape(&case.name),
            y + 2.0,
            median - LABELS,
            ROW - 8.0,
            median.max(maximum) + 6.0,
            y + 15.0,
            number(case.median()),
            case.unit,
        );
    }
    svg + "</svg>\n"
}

/// The text, as XML has it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
