//! What is on the screen: pure. Samples and actions go in, rows and rates come out.

use std::collections::{HashMap, VecDeque};

use super::Pane;
use super::keys::Action;
use super::rows::{Cell, Row, columns};
use super::sample::{Lists, Sample};
use crate::status::Status;

/// Seconds that are remembered: as many columns as a wide terminal has.
const HISTORY: usize = 512;
const SECOND: f64 = 1e9;
const NANOS: u64 = 1_000_000_000;

/// What something is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As most things are.
    Plain,
    /// Refused for now.
    Refused,
    /// In back-off.
    Backoff,
}

/// What happened in a second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// What got through.
    pub passed: f64,
    /// What was refused, or only counted.
    pub refused: f64,
}

/// Which rows a pane shows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The place of the column.
    pub column: usize,
    /// The other way round than the column has it: numbers come from the greatest, words from the first.
    pub is_reversed: bool,
}

/// All of it.
pub struct Model {
    /// The last sample's.
    pub status: Status,
    /// Those of the last sample that had any.
    pub lists: Lists,
    /// When the last sample was taken, in nanoseconds of `CLOCK_MONOTONIC`.
    pub now: u64,
    /// The latest first, inbound and outbound.
    pub history: [VecDeque<Rates>; 2],
    /// What is shown below.
    pub pane: Pane,
    /// What rows must have in them.
    pub filter: String,
    /// Whether keys go into it.
    pub is_typing: bool,
    /// Whether the keys are explained.
    pub has_help: bool,
    /// Whether nothing changes.
    pub is_paused: bool,
    /// What went wrong with the last sample.
    pub trouble: Option<String>,
    /// The first row that is shown.
    pub first: usize,
    /// The rows of the pane, as they are filtered and sorted.
    pub rows: Vec<Row>,
    rules: Vec<Row>,
    orders: [Order; Pane::ALL.len()],
    /// What each rule had passed and refused.
    totals: HashMap<(usize, u32), (u64, u64)>,
}

impl Model {
    /// As of a first sample, which has no rates yet.
    pub fn new(sample: Sample) -> Self {
        let order = |column| Order { column, is_reversed: false };
        let mut model = Self {
            lists: Lists::default(),
            now: sample.now,
            history: [VecDeque::new(), VecDeque::new()],
            pane: Pane::Rules,
            filter: String::new(),
            is_typing: false,
            has_help: false,
            is_paused: false,
            trouble: None,
            first: 0,
            rows: Vec::new(),
            rules: Vec::new(),
            // The busiest first.
            orders: [order(3), order(4), order(3), order(3)],
            totals: HashMap::new(),
            status: Status::off(None),
        };
        model.take(sample);
        model
    }

    /// Takes what was read, or why nothing was.
    pub fn update(&mut self, sample: anyhow::Result<Sample>) {
        self.trouble = sample.as_ref().err().map(|error| format!("{error:#}"));
        if let Ok(sample) = sample {
            self.take(sample);
        }
    }

    /// Does what a key asks for; says whether to go on.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => return false,
            Action::Help(has_help) => self.has_help = has_help,
            Action::Pause => self.is_paused = !self.is_paused,
            Action::Show(pane) => self.show(pane),
            Action::Next => self.show(self.pane.after(1)),
            Action::Previous => self.show(self.pane.after(Pane::ALL.len() - 1)),
            Action::Sort => {
                let order = &mut self.orders[self.pane as usize];
                *order = Order { column: (order.column + 1) % columns(self.pane).len(), is_reversed: false };
                self.arrange();
            }
            Action::Reverse => {
                self.orders[self.pane as usize].is_reversed ^= true;
                self.arrange();
            }
            Action::Filter(is_typing) => self.is_typing = is_typing,
            Action::Type(letter) => {
                self.filter.push(letter);
                self.filtered();
            }
            Action::Erase => {
                self.filter.pop();
                self.filtered();
            }
            Action::Clear => {
                self.is_typing = false;
                self.filter.clear();
                self.filtered();
            }
            Action::Move(rows) => {
                self.first = self.first.saturating_add_signed(rows).min(self.rows.len().saturating_sub(1));
            }
        }
        true
    }

    /// In which order the pane has its rows.
    pub const fn order(&self) -> Order {
        self.orders[self.pane as usize]
    }

    /// The latest rates of a direction; `None` before there are two samples.
    pub fn rates(&self, way: usize) -> Option<Rates> {
        self.history[way].front().copied()
    }

    fn take(&mut self, sample: Sample) {
        let passed = sample.now.saturating_sub(self.now);
        self.now = sample.now;
        self.status = sample.status;
        self.count(passed);
        if let Some(lists) = sample.lists {
            self.lists = lists;
        }
        self.arrange();
    }

    /// What came of the rules within so many nanoseconds.
    fn count(&mut self, time: u64) {
        let (mut totals, mut sums) = (HashMap::new(), [Rates::default(); 2]);
        self.rules.clear();
        for (way, rule) in rules(&self.status) {
            let key = (way, rule.number);
            // Of a rule that is new, nobody knows since when it has counted.
            let before = self.totals.get(&key).copied().unwrap_or((rule.passed, rule.refused));
            let rates = Rates {
                passed: per_second(rule.passed.saturating_sub(before.0), time),
                refused: per_second(rule.refused.saturating_sub(before.1), time),
            };
            sums[way].passed += rates.passed;
            sums[way].refused += rates.refused;
            totals.insert(key, (rule.passed, rule.refused));
            self.rules.push(vec![
                Cell::Text(rule.name),
                Cell::Text(["in", "out"][way].into()),
                Cell::Rate(rates.passed),
                Cell::Rate(rates.refused),
                Cell::Count(rule.passed),
                Cell::Count(rule.refused),
                Cell::Text(rule.over),
            ]);
        }
        let is_first = self.totals.is_empty() && time == 0;
        self.totals = totals;
        if is_first {
            return;
        }
        // A second that nobody looked at, as in a pause, was like the average of its like.
        let seconds = ((time + NANOS / 2) / NANOS).clamp(1, HISTORY as u64);
        for (history, rates) in self.history.iter_mut().zip(sums) {
            for _ in 0..seconds {
                history.push_front(rates);
            }
            history.truncate(HISTORY);
        }
    }

    fn show(&mut self, pane: Pane) {
        self.pane = pane;
        self.filtered();
    }

    fn filtered(&mut self) {
        self.first = 0;
        self.arrange();
    }

    fn arrange(&mut self) {
        let all = match self.pane {
            Pane::Rules => &self.rules,
            Pane::Sources => &self.lists.sources,
            Pane::Hosts => &self.lists.hosts,
            Pane::Backoff => &self.lists.backoff,
        };
        let words = self.filter.to_lowercase();
        self.rows =
            all.iter().filter(|row| words.is_empty() || row.iter().any(|c| c.has(&words))).cloned().collect();
        if self.pane == Pane::Backoff {
            // Whose back-off has ended since the tables were read.
            let now = self.now;
            self.rows.retain(|row| row.iter().any(|cell| cell.tone(now) != Tone::Plain));
        }
        let Order { column, is_reversed } = self.order();
        let greatest_first = columns(self.pane)[column].is_number != is_reversed;
        self.rows.sort_by(|a, b| {
            let order = a[column].compare(&b[column]);
            if greatest_first { order.reverse() } else { order }
        });
        self.first = self.first.min(self.rows.len().saturating_sub(1));
    }
}

/// What a rule is called and what came of it.
struct RuleCounts {
    number: u32,
    name: String,
    passed: u64,
    refused: u64,
    over: String,
}

/// All rules with their direction: 0 for ports, 1 for destinations.
fn rules(status: &Status) -> impl Iterator<Item = (usize, RuleCounts)> {
    let counted = || "counted".to_owned();
    let inbound = status.rules.iter().map(move |rule| RuleCounts {
        number: rule.rule.number,
        name: rule.rule.name.clone(),
        passed: rule.passed + rule.allowed,
        refused: rule.refused.values().sum(),
        over: if rule.rule.monitor { counted() } else { rule.rule.action.clone() },
    });
    let outbound = status.outbound.iter().flat_map(move |outbound| {
        outbound.rules.iter().map(move |rule| RuleCounts {
            number: rule.rule.number,
            name: rule.rule.called(),
            passed: rule.allowed,
            refused: rule.refused.values().sum(),
            over: if outbound.monitor { counted() } else { outbound.errno.clone() },
        })
    });
    inbound.map(|rule| (0, rule)).chain(outbound.map(|rule| (1, rule)))
}

/// So many in so many nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "nobody sees what is lost of a rate")]
pub fn per_second(count: u64, time: u64) -> f64 {
    if time == 0 { 0.0 } else { count as f64 * SECOND / time as f64 }
}

#[cfg(test)]
pub mod tests;
