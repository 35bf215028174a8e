//! Which key does what.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::Pane;
use super::model::Model;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// To go.
    Quit,
    /// To explain the keys, or to stop that.
    Help(bool),
    /// To let nothing change, or to go on.
    Pause,
    /// To show a pane.
    Show(Pane),
    /// To show the pane at its right.
    Next,
    /// To show the pane at its left.
    Previous,
    /// To sort by the next column.
    Sort,
    /// To sort the other way round.
    Reverse,
    /// To take further letters for the filter, or to stop that.
    Filter(bool),
    /// A letter for the filter.
    Type(char),
    /// To take the last one away.
    Erase,
    /// To take the filter away.
    Clear,
    /// To show what is so many rows further down.
    Move(isize),
}

/// What is said of them.
pub const HELP: [(&str, &str); 8] = [
    ("Tab, arrows, 1 to 4", "another pane"),
    ("s", "sort by the next column"),
    ("r", "sort the other way round"),
    ("/", "only rows with these words; Enter keeps it, Esc ends it"),
    ("up, down, Page, Home", "further rows"),
    ("p, Space", "pause: nothing changes until it is pressed again"),
    ("?, h", "this"),
    ("q, Esc, Ctrl-C", "quit"),
];

const PAGE: isize = 10;

/// What a key does now; `None` where nothing.
pub fn action(key: KeyEvent, model: &Model) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Quit);
    }
    if model.is_typing {
        return match key.code {
            KeyCode::Char(letter) => Some(Action::Type(letter)),
            KeyCode::Backspace => Some(Action::Erase),
            KeyCode::Enter => Some(Action::Filter(false)),
            KeyCode::Esc => Some(Action::Clear),
            _ => None,
        };
    }
    if model.has_help {
        return Some(Action::Help(false));
    }
    Some(match key.code {
        KeyCode::Esc if !model.filter.is_empty() => Action::Clear,
        KeyCode::Char('q') | KeyCode::Esc => Action::Quit,
        KeyCode::Char('?' | 'h') => Action::Help(true),
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('/') => Action::Filter(true),
        KeyCode::Char(digit @ '1'..='4') => Action::Show(Pane::ALL[digit as usize - '1' as usize]),
        KeyCode::Tab | KeyCode::Right => Action::Next,
        KeyCode::BackTab | KeyCode::Left => Action::Previous,
        KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
        KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
        KeyCode::PageDown => Action::Move(PAGE),
        KeyCode::PageUp => Action::Move(-PAGE),
        KeyCode::Home => Action::Move(isize::MIN),
        KeyCode::End => Action::Move(isize::MAX),
        _ => return None,
    })
}
