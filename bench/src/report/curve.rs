//! A plot of a cost against the number of something: a line through medians, on a logarithmic axis.

use std::fmt::Write as _;

use serde::Serialize;

use super::plot::{STYLE, escape};
use super::{Section, number};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 44.0;
/// Between the axis and the first point, whose number would touch the axis's.
const INSET: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 52.0;
/// About so many lines across.
const STEPS: f64 = 5.0;

/// Cases that differ in one number.
#[derive(Debug, Serialize)]
pub struct Curve {
    /// The last part of its plot's file name.
    pub name: &'static str,
    /// Headline of its plot.
    pub title: String,
    /// What the number is of: one, and many.
    pub axis: [&'static str; 2],
    /// The number, and the name of a case of the section.
    pub points: Vec<(u64, String)>,
}

impl Curve {
    /// One without points.
    pub fn new(name: &'static str, title: String, axis: [&'static str; 2]) -> Self {
        Self { name, title, axis, points: Vec::new() }
    }

    /// Adds a point, and says what its case is called.
    pub fn point(&mut self, what: &str, count: u64) -> String {
        let axis = self.axis[usize::from(count != 1)];
        let name = format!("{what}, {} {axis}", thousands(count));
        self.points.push((count, name.clone()));
        name
    }

    /// An SVG document. Colours follow what the reader prefers, light or dark.
    pub fn svg(&self, section: &Section) -> String {
        let cases: Vec<_> = self.points.iter().map(|(count, name)| (*count, section.case(name))).collect();
        let most_x = self.points.iter().map(|(count, _)| *count as f64).fold(10.0, f64::max).log10();
        let most_y = cases.iter().map(|(_, case)| case.maximum()).fold(f64::MIN_POSITIVE, f64::max);
        let step = nice(most_y / STEPS);
        let most_y = (most_y / step).ceil() * step;
        let x = |count: f64| LEFT + INSET + count.log10() / most_x * (WIDTH - LEFT - INSET - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / most_y * (HEIGHT - TOP - BOTTOM);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="13">
{STYLE}
<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>
<text x="16" y="26" font-size="15" font-weight="600">{}</text>
<text x="{}" y="{}" text-anchor="middle">{}</text>
"#,
            escape(&self.title),
            f64::midpoint(LEFT, right),
            HEIGHT - 12.0,
            self.axis[1]
        );
        let unit = cases.first().map_or("", |(_, case)| case.unit);
        for line in 0..=(most_y / step).round() as u32 {
            let value = f64::from(line) * step;
            let height = y(value);
            let _ = writeln!(
                svg,
                r#"<path class="grid" d="M{LEFT} {height:.1}H{right}"/><text x="{}" y="{:.1}" text-anchor="end">{value} {unit}</text>"#,
                LEFT - 8.0,
                height + 4.0
            );
        }
        for power in 0..=most_x.floor() as u32 {
            let count = 10u64.pow(power);
            let place = x(count as f64);
            let _ = writeln!(
                svg,
                r#"<path class="grid" d="M{place:.1} {TOP}V{bottom}"/><text x="{place:.1}" y="{}" text-anchor="middle">{}</text>"#,
                bottom + 18.0,
                thousands(count)
            );
        }
        let mut line = String::new();
        for (count, case) in &cases {
            let place = x(*count as f64);
            let (least, median, greatest) = (y(case.minimum()), y(case.median()), y(case.maximum()));
            let _ = write!(line, "{}{place:.1} {median:.1}", if line.is_empty() { 'M' } else { 'L' });
            let _ = writeln!(
                svg,
                r#"<path class="range" d="M{place:.1} {least:.1}V{greatest:.1}"/><circle class="bar" cx="{place:.1}" cy="{median:.1}" r="4"/><text x="{place:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                greatest - 8.0,
                number(case.median())
            );
        }
        let _ = writeln!(svg, r#"<path class="line" d="{line}"/>"#);
        svg + "</svg>\n"
    }
}

/// The next greater of 1, 2 and 5 times a power of ten.
fn nice(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&step| step >= least)
        .unwrap_or(10.0 * power)
}

/// With a comma before each three digits.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
