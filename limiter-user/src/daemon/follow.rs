//! Interfaces and cgroups come and go while limits are in force, and somebody may detach a program: the programs that are loaded
//! follow to where they are wanted.
//!
//! The kernel tells of what comes and goes. What it does not tell of, such as a link that was detached, is looked for.

mod cgroups;
mod interfaces;

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use limiter_common::rule::Action;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::gap::Gaps;
use super::plan::{Plan, action};
use super::{Order, live, words};
use crate::bpf::{Mode, Pins, Programs, open::COUNT_OPEN};
use crate::cgroup::{Cgroup, Watch};
use crate::clock;
use crate::events;
use crate::interface::Links;
use crate::state::{State, Waiting};
use cgroups::Found;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps programs where they are wanted.
pub struct Follower {
    pins: Pins,
    mode: Mode,
    action: Action,
    counts_open: bool,
    links: Links,
    found: Found,
    watch: Option<Watch>,
    look: Interval,
    gaps: Gaps,
    /// What is to be said of a look, once `status` says it as well.
    news: Vec<String>,
    /// Whether it has been said that the last look failed.
    failed: bool,
}

impl Follower {
    /// Before what is planned is put in force: what comes from now on is told.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn begin(order: &Order, plan: &Plan) -> anyhow::Result<Self> {
        let watch = Watch::new(&order.cgroups).unwrap_or_else(|error| {
            // There are limits on how many may watch (fs.inotify), and this does not depend on it.
            eprintln!(
                "limiterctl: {error:#}\n  a cgroup that comes is limited within a second, and not at once"
            );
            None
        });
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let found = Found::new(&order.cgroups);
        if let Some(watch) = &watch {
            watch.follow(&found.all());
        }
        Ok(Self {
            pins: Pins::locate(),
            mode: order.mode,
            action: action(&order.policy),
            counts_open: plan.entries.watch_handshakes(),
            links: Links::watch()?,
            found,
            watch,
            look,
            gaps: Gaps::none(),
            news: Vec::new(),
            failed: false,
        })
    }

    /// Comes back when there may be something to do; with the time, by [`clock::now`], at which the kernel told of it, if it did.
    /// Where this is dropped before, nothing is lost.
    pub async fn changed(&mut self) -> Option<u64> {
        let watch = self.watch.as_ref();
        let cgroups = async {
            match watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.links.changed() => Some(clock::now()),
            () = cgroups => Some(clock::now()),
            _ = self.look.tick() => None,
        }
    }

    /// Attaches what is wanted and missing, takes off what is not wanted any more, and says so; gives whether there was any of
    /// it. Where that fails it is tried again with the next look.
    pub async fn follow(&mut self, told: Option<u64>, programs: &mut Programs, state: &mut State) -> bool {
        let result = self.look(told, programs, state).await;
        let is_changed = !self.news.is_empty();
        for news in self.news.drain(..) {
            live::say(&news);
            events::state("changed", news);
        }
        if let (Err(error), false) = (&result, self.failed) {
            eprintln!("limiterctl: cannot follow interfaces and cgroups: {error:#}");
        }
        self.failed = result.is_err();
        is_changed
    }

    async fn look(
        &mut self,
        told: Option<u64>,
        programs: &mut Programs,
        state: &mut State,
    ) -> anyhow::Result<()> {
        let began = clock::now();
        let before = state.clone();
        let mut waiting = self.cgroups(told, programs, state);
        waiting.extend(self.interfaces(told, programs, state).await?);
        waiting.extend(self.count_open(programs));
        state.waiting = waiting;
        self.gaps.looked(began, !state.waiting.is_empty());
        if *state != before {
            state.save_beside_trial()?;
        }
        words::say_waiting(&before.waiting, &state.waiting);
        Ok(())
    }

    /// The program on the root of all cgroups.
    fn count_open(&mut self, programs: &mut Programs) -> Option<Waiting> {
        let error = if self.counts_open { self.attach_count_open(programs).err()? } else { return None };
        Some(words::waiting_for_cgroup("/", format!("{error:#}")))
    }

    fn attach_count_open(&mut self, programs: &mut Programs) -> anyhow::Result<()> {
        let root = Cgroup::open_root()?;
        if !self.pins.is_on(COUNT_OPEN, root.metadata()?.ino()) {
            self.pins.pin_link(COUNT_OPEN, programs.attach_count_open(&root)?)?;
            self.news.push("connections were not counted any more: attached again".into());
        }
        Ok(())
    }
}
