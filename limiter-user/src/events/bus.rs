//! Brings events from whoever has one to whoever follows. There is one bus in a process, as there is one stderr.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Event, What};
use crate::clock;

/// How many events are kept for who asks later.
pub const KEPT: usize = 1000;
/// How many events one who follows may be behind, before he loses some.
const BEHIND: usize = 1024;
/// How many may follow at a time.
const FOLLOWERS: usize = 8;

static BUS: LazyLock<Bus> = LazyLock::new(|| Bus::new(KEPT, BEHIND, FOLLOWERS));

/// An event as it is sent: a line of JSON with its end.
pub type Line = Arc<str>;

struct Bus {
    most: usize,
    kept: Mutex<VecDeque<Line>>,
    sender: Sender<Line>,
    places: Arc<Semaphore>,
}

/// Tells all who follow, and keeps it.
pub fn tell(event: &Event) {
    BUS.tell(line(event));
}

/// The events that are kept, the oldest first.
pub fn kept() -> Vec<Line> {
    BUS.kept().iter().cloned().collect()
}

/// Follows from now on, after the events that are kept where these are wanted; `None` where too many follow.
pub fn follow(with_kept: bool) -> Option<Follower> {
    BUS.follow(with_kept)
}

/// Hears what is told from now on, beside those who follow.
pub fn listen() -> Receiver<Line> {
    BUS.sender.subscribe()
}

fn line(event: &Event) -> Line {
    // Of text and numbers: nothing in there cannot be written.
    (serde_json::to_string(event).unwrap_or_default() + "\n").into()
}

impl Bus {
    fn new(most: usize, behind: usize, followers: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
            sender: channel(behind).0,
            places: Arc::new(Semaphore::new(followers)),
        }
    }

    /// A line is whole whatever the one who had this lock before did.
    fn kept(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both in one lock, so that who comes now gets it once.
    fn tell(&self, line: Line) {
        let mut kept = self.kept();
        if kept.len() == self.most {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&line));
        // Nobody need follow.
        let _ = self.sender.send(line);
    }

    fn follow(&self, with_kept: bool) -> Option<Follower> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let kept = self.kept();
        let before = if with_kept { kept.clone() } else { VecDeque::new() };
        Some(Follower { before, events: self.sender.subscribe(), _place: place })
    }
}

/// Somebody who follows. Dropping it makes room for another.
pub struct Follower {
    before: VecDeque<Line>,
    events: Receiver<Line>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; in the place of those that were lost, one that says how many. `None` at the end.
    pub async fn next(&mut self) -> Option<Line> {
        if let Some(line) = self.before.pop_front() {
            return Some(line);
        }
        match self.events.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(count)) => Some(line(&Event::at(clock::now(), What::Lost { count }))),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_follows_gets_what_is_kept_then_what_comes_and_who_is_slow_is_told_what_he_lost() {
        let bus = Bus::new(2, 4, 2);
        for text in ["1", "2", "3"] {
            bus.tell(text.into());
        }
        let mut follower = bus.follow(true).unwrap();
        let mut late = bus.follow(false).unwrap();
        assert!(bus.follow(true).is_none(), "there is no third place");
        bus.tell("4".into());
        for text in ["2", "3", "4"] {
            assert_eq!(follower.next().await.as_deref(), Some(text));
        }
        for text in ["5", "6", "7", "8"] {
            bus.tell(text.into());
        }
        let told: Event = serde_json::from_str(&late.next().await.unwrap()).unwrap();
        assert_eq!(told.what, What::Lost { count: 1 });
        assert_eq!(late.next().await.as_deref(), Some("5"));
        assert_eq!(follower.next().await.as_deref(), Some("5"), "who was not slow lost nothing");
        drop(late);
        assert!(bus.follow(false).is_some());
    }
}
