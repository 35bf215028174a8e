//! `limiterctl top`: a screen that shows what is going on, and goes on showing it.
//!
//! `read` asks the kernel, `model` is what is on the screen and what keys make of it, `draw` is how it looks.

mod draw;
mod keys;
mod model;
mod read;
mod rows;
mod sample;

use std::env;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval_at};

use crate::failure::Failure;
use crate::status::Mode;
use draw::Paint;
use model::Model;
use read::Reader;

/// How often counters are read.
const EVERY: Duration = Duration::from_secs(1);

/// What is shown below the rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pane {
    /// Rules and what comes of them.
    Rules,
    /// Sources that hold connections open.
    Sources,
    /// Names of destinations.
    Hosts,
    /// Who is in back-off.
    Backoff,
}

impl Pane {
    /// All, from left to right.
    const ALL: [Self; 4] = [Self::Rules, Self::Sources, Self::Hosts, Self::Backoff];

    /// The one so many places further on; after the last comes the first.
    const fn after(self, places: usize) -> Self {
        Self::ALL[(self as usize + places) % Self::ALL.len()]
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "Rules",
            Self::Sources => "Sources",
            Self::Hosts => "Hosts",
            Self::Backoff => "Back-off",
        }
    }
}

/// The terminal, as long as it is ours. However that ends, it is put back: by this, or by ratatui's panic hook.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to put back.
        let _ = ratatui::try_restore();
    }
}

/// Shows the screen until somebody quits; says whether there was anything to show.
///
/// # Errors
///
/// No terminal; what the kernel says at the start. Later it is shown on the screen.
pub async fn run() -> anyhow::Result<bool> {
    check_terminal()?;
    let mut reader = Reader::new();
    let (mut model, took) = {
        let began = Instant::now();
        (Model::new(reader.read()?), began.elapsed())
    };
    reader.took(took);
    if model.status.mode == Mode::Off {
        return Ok(false);
    }
    let paint = Paint::of(env::var_os("NO_COLOR").as_deref());
    let mut ends = Ends::new()?;
    let mut screen = Screen::open()?;
    let mut events = EventStream::new();
    let mut ticks = interval_at(tokio::time::Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        screen.0.draw(|frame| draw::draw(frame, &mut model, paint))?;
        tokio::select! {
            () = ends.recv() => return Ok(true),
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    let action = keys::action(key, &model);
                    if !action.is_none_or(|action| model.act(action)) {
                        return Ok(true);
                    }
                }
                Some(Ok(_)) => {}
                // Nobody is there any more.
                Some(Err(_)) | None => return Ok(true),
            },
            _ = ticks.tick() => if !model.is_paused {
                let began = Instant::now();
                let sample = reader.read();
                let has_lists = sample.as_ref().is_ok_and(|sample| sample.lists.is_some());
                model.update(sample);
                if has_lists {
                    reader.took(began.elapsed());
                }
            },
        }
    }
}

/// Makes sure that there is a screen, and somebody before it.
fn check_terminal() -> Result<(), Failure> {
    let cure = "for a script, and where there is no screen, there is: limiterctl status";
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::new("top needs a terminal, for what it shows and for keys", cure));
    }
    if env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        return Err(Failure::new("this terminal cannot move its cursor (TERM is dumb, or not set)", cure));
    }
    Ok(())
}

/// Signals that ask it to end, and to leave the terminal as it was.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    async fn recv(&mut self) {
        let [a, b, c] = &mut self.0;
        tokio::select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = c.recv() => {}
        }
    }
}
