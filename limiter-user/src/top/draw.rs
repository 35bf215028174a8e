//! How the model looks, on a screen of any size.

use std::ffi::OsStr;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell as TableCell, Clear, Paragraph, RenderDirection, Row, Sparkline, Table};

use super::Pane;
use super::keys::HELP;
use super::model::{Model, Rates, Tone};
use super::rows::{Column, columns};
use super::sample::Hidden;
use crate::status::Mode;
use crate::table;

/// Lines of what is attached, at the most.
const PLACES: usize = 3;
/// Lines of a curve.
const CURVE: u16 = 2;
/// Lines below which there are no curves.
const LOW: u16 = 16;

/// What may be told by colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    has_colours: bool,
}

impl Paint {
    /// With colours, unless this variable says that nobody wants any (no-color.org).
    pub fn of(no_color: Option<&OsStr>) -> Self {
        Self { has_colours: no_color.is_none_or(OsStr::is_empty) }
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Refused => self.colour(Color::Red),
            Tone::Backoff => self.colour(Color::Yellow).add_modifier(Modifier::BOLD),
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// One of the rates.
type Of = fn(&Rates) -> f64;

/// Draws it.
pub fn draw(frame: &mut Frame, model: &mut Model, paint: Paint) {
    let head = head(model, paint);
    let ways = ways(model);
    let curves = if frame.area().height < LOW { 0 } else { CURVE };
    let rates = ways.len() as u16 * (curves + 1);
    let [above, middle, tabs_line, rows, foot_line] = Layout::vertical([
        Constraint::Length(head.len() as u16),
        Constraint::Length(rates),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(head), above);
    for (line, way) in ways.into_iter().enumerate() {
        let top = middle.y + line as u16 * (curves + 1);
        let area = Rect::new(middle.x, top, middle.width, curves + 1).intersection(middle);
        draw_rates(frame, area, model, way, paint);
    }
    frame.render_widget(tabs(model), tabs_line);
    draw_rows(frame, rows, model, paint);
    frame.render_widget(foot(model, paint), foot_line);
    if model.has_help {
        draw_help(frame, rows);
    }
}

/// The mode, the daemon, and where the limits are.
fn head(model: &Model, paint: Paint) -> Vec<Line<'static>> {
    let status = &model.status;
    let (mode, colour) = match status.mode {
        Mode::Off => ("nothing is attached", Color::Red),
        Mode::Monitor => ("monitor", Color::Yellow),
        Mode::Enforce => ("enforce", Color::Green),
    };
    let daemon = match status.daemon_pid {
        Some(pid) => format!("daemon {pid}"),
        None => "no daemon".into(),
    };
    let mut first = vec![
        Span::styled("limiterctl", BOLD),
        Span::raw("  "),
        Span::styled(mode, paint.colour(colour).add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {daemon}")),
    ];
    if model.is_paused {
        first.extend([Span::raw("  "), Span::styled(" PAUSED ", REVERSED)]);
    }
    let mut lines = vec![Line::from(first)];
    if status.mode == Mode::Off {
        return lines;
    }
    let mut places = status.places();
    places.extend(status.rules.iter().filter_map(|rule| {
        let since = table::whole_seconds(rule.flood_since.as_ref()?);
        Some(format!("{}: FLOOD of strangers since {since}", rule.rule.name))
    }));
    let too_many = places.len().saturating_sub(PLACES);
    if too_many > 0 {
        places.truncate(PLACES - 1);
        places.push(format!("and {} lines more: limiterctl status", too_many + 1));
    }
    lines.extend(places.into_iter().map(Line::from));
    lines
}

/// Which directions have rules.
fn ways(model: &Model) -> Vec<usize> {
    let status = &model.status;
    let has = [!status.rules.is_empty(), status.outbound.is_some()];
    (0..2).filter(|&way| has[way]).collect()
}

fn draw_rates(frame: &mut Frame, area: Rect, model: &Model, way: usize, paint: Paint) {
    let halves = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas::<2>(area);
    let name = ["inbound", "outbound"][way];
    let is_monitor = match way {
        0 => model.status.rules.iter().all(|rule| rule.rule.monitor),
        _ => model.status.outbound.as_ref().is_some_and(|outbound| outbound.monitor),
    };
    let over = if is_monitor { "over a limit, passed" } else { "refused" };
    let curves: [(&str, Of, Color); 2] =
        [("passed", |rates| rates.passed, Color::Green), (over, |rates| rates.refused, Color::Red)];
    for (area, (what, of, colour)) in halves.into_iter().zip(curves) {
        let [title, curve] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let now = model.rates(way).map_or("-".to_owned(), |rates| format!("{:.0}", of(&rates)));
        let latest = || model.history[way].iter().take(curve.width.into()).map(of);
        let most = latest().fold(0.0, f64::max);
        let line = Line::from(vec![
            Span::raw(format!("{name} {what} ")),
            Span::styled(format!("{now}/s"), paint.colour(colour).add_modifier(Modifier::BOLD)),
            Span::styled(format!("  at most {most:.0}/s"), DIM),
        ]);
        frame.render_widget(line, title);
        let sparkline = Sparkline::default()
            .data(latest().map(|rate| rate.ceil() as u64))
            .direction(RenderDirection::RightToLeft)
            .style(paint.colour(colour));
        frame.render_widget(sparkline, curve);
    }
}

fn tabs(model: &Model) -> Line<'static> {
    let mut spans = Vec::new();
    for (place, pane) in Pane::ALL.into_iter().enumerate() {
        let count = match pane {
            Pane::Rules => None,
            Pane::Sources => Some(model.lists.sources.len()),
            Pane::Hosts => Some(model.lists.hosts.len()),
            Pane::Backoff => Some(model.lists.backoff.len()),
        };
        let count = count.map(|count| format!(" {count}")).unwrap_or_default();
        let style = if pane == model.pane { REVERSED.add_modifier(Modifier::BOLD) } else { Style::new() };
        spans.push(Span::styled(format!(" {} {}{count} ", place + 1, pane.as_str()), style));
        spans.push(Span::raw(" "));
    }
    if !model.filter.is_empty() && !model.is_typing {
        spans.push(Span::raw(format!(" with '{}': {}", model.filter, model.rows.len())));
    }
    Line::from(spans)
}

fn draw_rows(frame: &mut Frame, area: Rect, model: &mut Model, paint: Paint) {
    let words = said_of(model);
    let [rows_area, said] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(words.len() as u16)]).areas(area);
    frame.render_widget(Paragraph::new(words).style(DIM), said);
    // The first row is not further down than it must be for the last one to be seen.
    let visible = usize::from(rows_area.height.saturating_sub(1));
    model.first = model.first.min(model.rows.len().saturating_sub(visible));
    let (all, order) = (columns(model.pane), model.order());
    let columns: Vec<_> = all.iter().enumerate().filter(|(_, column)| area.width >= column.from).collect();
    let header = columns.iter().map(|&(place, column)| {
        let is_descending = column.is_number != order.is_reversed;
        let arrow = match place == order.column {
            true if is_descending => "▼",
            true => "▲",
            false => "",
        };
        let title = Line::from(format!("{}{arrow}", column.title));
        TableCell::from(if column.is_number { title.right_aligned() } else { title })
    });
    let rows = model.rows.iter().skip(model.first).take(visible).map(|row| {
        Row::new(columns.iter().map(|&(place, column)| {
            let cell = &row[place];
            let line = Line::styled(cell.words(model.now), paint.tone(cell.tone(model.now)));
            TableCell::from(if column.is_number { line.right_aligned() } else { line })
        }))
    });
    let table = Table::new(rows, columns.iter().map(|(_, column)| width(column)))
        .header(Row::new(header).style(BOLD));
    frame.render_widget(table, rows_area);
}

fn width(column: &Column) -> Constraint {
    column.width.map_or(Constraint::Fill(1), Constraint::Length)
}

/// What must be known to read the rows.
fn said_of(model: &Model) -> Vec<Line<'static>> {
    let lists = &model.lists;
    let mut lines: Vec<String> = Vec::new();
    let hidden = |who: &str, hidden: Hidden| {
        let wait = hidden.until.saturating_sub(model.now);
        (hidden.count > 0 && wait > 0).then(|| {
            let wait = table::seconds(wait.div_ceil(1_000_000));
            format!("{} other {who}, known by a hash only; the last back-off ends in {wait}", hidden.count)
        })
    };
    match model.pane {
        Pane::Sources => lines
            .push("open connections, used part of the burst; who holds none is known by a hash only".into()),
        Pane::Rules | Pane::Hosts => {}
        Pane::Backoff => {
            lines.extend(hidden("sources", lists.other_sources));
            lines.extend(hidden("destinations", lists.other_destinations));
        }
    }
    let age = model.now.saturating_sub(lists.at) / 1_000_000_000;
    if model.pane != Pane::Rules && age >= 2 {
        lines.push(format!("as of {age} s ago: these tables take long to read"));
    }
    lines.into_iter().map(Line::from).collect()
}

fn foot(model: &Model, paint: Paint) -> Line<'static> {
    if model.is_typing {
        return Line::from(vec![
            Span::styled("/", BOLD),
            Span::raw(model.filter.clone()),
            Span::styled(" ", REVERSED),
        ]);
    }
    if let Some(trouble) = &model.trouble {
        return Line::styled(trouble.clone(), paint.colour(Color::Red).add_modifier(Modifier::BOLD));
    }
    Line::styled("q quit  Tab pane  s sort  r reverse  / filter  p pause  ? help", DIM)
}

fn draw_help(frame: &mut Frame, area: Rect) {
    let width = HELP.iter().map(|(keys, _)| keys.len()).max().unwrap_or(0);
    let lines = HELP.iter().map(|(keys, what)| {
        Line::from(vec![Span::styled(format!(" {keys:width$}"), BOLD), Span::raw(format!("  {what}"))])
    });
    let lines: Vec<_> = lines.collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests;
