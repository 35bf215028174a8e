use std::fs;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::super::keys::Action;
use super::super::model::tests::model;
use super::*;

const PLAIN: Paint = Paint { has_colours: false };
const COLOURED: Paint = Paint { has_colours: true };

fn drawn(model: &mut Model, (width, height): (u16, u16), paint: Paint) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, paint)).unwrap();
    terminal.backend().buffer().clone()
}

/// What stands on it, without the blanks at the ends of lines.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", line.trim_end())
    };
    buffer.content.chunks(width).map(line).collect()
}

#[test]
fn screens_look_like_this() {
    let typed = [Action::Filter(true), Action::Type('g'), Action::Type('o')];
    let cases: [(&str, (u16, u16), &[Action]); 6] = [
        ("rules", (80, 24), &[]),
        ("sources", (80, 24), &[Action::Show(Pane::Sources)]),
        ("hosts", (80, 24), &[Action::Show(Pane::Hosts), typed[0], typed[1], typed[2]]),
        ("backoff", (160, 50), &[Action::Show(Pane::Backoff), Action::Pause]),
        ("help", (80, 24), &[Action::Help(true)]),
        ("low", (40, 10), &[]),
    ];
    for (name, size, actions) in cases {
        let mut model = model();
        for action in actions {
            model.act(*action);
        }
        let now = text(&drawn(&mut model, size, PLAIN));
        let path = format!("{}/src/top/draw/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let wanted = fs::read_to_string(&path).unwrap_or_default();
        assert!(now == wanted, "{path} should be, if it is right:\n{now}");
    }
}

#[test]
fn no_screen_is_too_small_or_too_large() {
    for pane in Pane::ALL {
        for height in (0..30).chain([200]) {
            for width in [0, 1, 2, 7, 20, 40, 79, 80, 300] {
                let mut model = model();
                model.act(Action::Show(pane));
                drawn(&mut model, (width, height), COLOURED);
                model.act(Action::Help(true));
                drawn(&mut model, (width, height), COLOURED);
            }
        }
    }
}

#[test]
fn colours_are_only_for_who_wants_them() {
    let has_colours = |paint| {
        let mut model = model();
        model.act(Action::Show(Pane::Backoff));
        let buffer = drawn(&mut model, (80, 24), paint);
        buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(has_colours(Paint::of(None)) && has_colours(Paint::of(Some("".as_ref()))));
    assert!(!has_colours(Paint::of(Some("1".as_ref()))));
}

#[test]
fn the_last_row_can_be_reached_and_stays_at_the_bottom() {
    let mut model = model();
    model.act(Action::Show(Pane::Hosts));
    let row = model.lists.hosts[1].clone();
    model.lists.hosts = vec![row; 500];
    model.act(Action::Show(Pane::Hosts));
    model.act(Action::Move(isize::MAX));
    let screen = text(&drawn(&mut model, (100, 24), PLAIN));
    // Beside rows: two lines of head, six of rates, tabs, titles, the age of the table, keys.
    assert_eq!(screen.matches("google.com").count(), 24 - 2 - 6 - 1 - 1 - 1 - 1, "{screen}");
}
