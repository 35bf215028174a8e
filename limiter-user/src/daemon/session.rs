//! What goes on while limits are in force: tables are kept, sockets compared, names resolved, counters shown.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use aya::maps::MapData;
use limiter_common::maps;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

use super::alarm::Alarm;
use super::enforce::{Enforced, Plan, enforce};
use super::follow::Follower;
use super::handover::{self, Handover};
use super::proof::{Claim, Extent};
use super::reconcile::Reconciler;
use super::refusals::Refusals;
use super::{Order, Signals, Wish, live, notify, words};
use crate::bpf::{HostTables, Pins, Programs, SourceTable, Tables};
use crate::clock;
use crate::config::hostname::HostPattern;
use crate::control::Control;
use crate::dns::{self, News, Watch};
use crate::policy::{Entries, Policy};
use crate::state::{State, difference};

const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a flood goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is tried whether limits hold, as far as nobody notices.
const PROVE_EVERY: Duration = Duration::from_mins(1);
/// How often addresses are collected that nobody resolves any more.
const COLLECT_EVERY: Duration = Duration::from_mins(1);

/// Limits in force, and all that looks after them.
pub struct Session {
    programs: Programs,
    entries: Entries,
    state: State,
    /// Tables with a state for each source, name or address. They are mapped only while they are swept: what is mapped
    /// counts as this process's memory.
    sources: Vec<MapData>,
    pending: MapData,
    inbound: Tables<MapData>,
    outbound: Option<HostTables>,
    reconciler: Option<Reconciler>,
    alarm: Option<Alarm>,
    handover: Option<Handover>,
    refusals: Refusals,
    follower: Follower,
    watch: Watch,
    before: Option<live::Sum>,
}

impl Session {
    /// Puts what is planned in force, in the place of what was.
    ///
    /// # Errors
    ///
    /// Whatever keeps the limits from holding. Then everything is as it was.
    pub async fn begin(
        order: &Order,
        plan: Plan,
        pins: &Pins,
        before: Option<&State>,
    ) -> anyhow::Result<Self> {
        let watch = Watch::new(exact_names(&order.policy));
        let follower = Follower::begin(order, &plan)?;
        let Enforced { mut programs, entries, state } = enforce(order, plan, pins, before)?;
        let mut reconciler = Reconciler::new(&entries, pins)?;
        if let Some(reconciler) = &mut reconciler {
            // What was open before anybody counted is not worth a word.
            reconciler.reconcile(&mut programs, false).await?;
        }
        let limits_hosts = order.policy.outbound.is_some();
        Ok(Self {
            sources: [maps::SOURCES, maps::KNOWN, maps::STATES, maps::SHARED_STATES]
                .into_iter()
                .map(|name| pins.map(name))
                .collect::<Result<_, _>>()?,
            pending: pins.map(maps::PENDING)?,
            inbound: Tables::<MapData>::pinned(pins)?,
            outbound: limits_hosts.then(|| HostTables::pinned(pins)).transpose()?,
            reconciler,
            alarm: Alarm::new(&state.rules, pins)?,
            refusals: Refusals::open(pins)?,
            handover: limits_hosts.then(|| Handover::open(pins)).transpose()?,
            follower,
            watch,
            before: None,
            programs,
            entries,
            state,
        })
    }

    /// Whether the kernel has all of a plan already.
    pub fn has(&self, plan: &Plan) -> bool {
        plan.entries == self.entries && difference(&self.state, &plan.state).is_empty()
    }

    /// What is in force, in words.
    pub const fn state(&mut self) -> &mut State {
        &mut self.state
    }

    /// Shows the counters on a terminal, keeps the tables, and resolves listed names, until something is asked for.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub async fn keep(&mut self, signals: &mut Signals, control: &mut Control) -> anyhow::Result<Wish> {
        let mut show = lenient(SHOW_EVERY);
        let mut sweep = interval(SourceTable::SWEEP_EVERY);
        let mut reconcile = lenient(Reconciler::EVERY);
        let mut collect = interval(COLLECT_EVERY);
        let mut look = interval(LOOK_EVERY);
        let mut prove = interval_at(Instant::now() + PROVE_EVERY, PROVE_EVERY);
        let watchdog = notify::watchdog_interval();
        let mut feed = interval(watchdog.unwrap_or(Duration::MAX));
        let live = io::stdout().is_terminal();
        let wish = loop {
            tokio::select! {
                wish = signals.recv() => break wish,
                request = control.next() => break Wish::Reload(Some(request)),
                _ = sweep.tick() => self.sweep()?,
                _ = reconcile.tick() => if let Some(reconciler) = &mut self.reconciler {
                    reconciler.keep(&mut self.programs).await;
                },
                _ = collect.tick() => if let Some(outbound) = &mut self.outbound { outbound.sweep(clock::now())?; },
                name = handover::next(self.handover.as_mut()) => self.watch.add(name?),
                report = self.refusals.next() => {
                    self.refusals.tell(&report?, &self.state, self.outbound.as_ref());
                }
                news = self.watch.next() => self.learn(news)?,
                told = self.follower.changed() => {
                    if self.follower.follow(told, &mut self.programs, &mut self.state).await {
                        self.prove(Extent::All);
                    }
                }
                _ = prove.tick() => self.prove(Extent::Unnoticed),
                _ = look.tick() => if let Some(alarm) = &mut self.alarm { alarm.look(); },
                _ = feed.tick(), if watchdog.is_some() => notify::alive(),
                _ = show.tick(), if live => self.show()?,
            }
        };
        if live {
            println!();
        }
        Ok(wish)
    }

    /// Tries whether limits hold, and notes what came of it.
    fn prove(&mut self, extent: Extent) {
        let claim = Claim { entries: &self.entries, state: &self.state };
        let proof = claim.prove_again(&mut self.programs, &Pins::locate(), extent);
        words::proved_again(self.state.proof.as_ref(), &proof);
        if self.state.proof.as_ref() == Some(&proof) {
            return;
        }
        self.state.proof = Some(proof);
        if let Err(error) = self.state.save_beside_trial() {
            eprintln!("limiterctl: {error:#}");
        }
    }

    fn sweep(&self) -> anyhow::Result<()> {
        for table in &self.sources {
            SourceTable::map(table)?.sweep();
        }
        SourceTable::map(&self.pending)?.sweep_pending();
        Ok(())
    }

    fn learn(&mut self, news: News) -> anyhow::Result<()> {
        match news {
            News::Answer(answer) => {
                for message in dns::message::answers(&answer.name, &answer.addresses)? {
                    self.programs.teach_answer(&message)?;
                }
            }
            News::Failing { name, why } => words::warn_unresolved(&name, &why),
        }
        Ok(())
    }

    fn show(&mut self) -> anyhow::Result<()> {
        let now = live::sum(&self.inbound, self.outbound.as_ref(), &self.state)?;
        // Back to the start of the line, and clear what the last one left behind it.
        print!("\r{}\x1b[K", live::line(&now, self.before.as_ref()));
        io::stdout().flush()?;
        self.before = Some(now);
        Ok(())
    }
}

/// One that makes up for nothing it missed.
fn lenient(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The names that the daemon resolves itself.
fn exact_names(policy: &Policy) -> Vec<String> {
    let rules = policy.outbound.iter().flat_map(|outbound| &outbound.rules);
    let patterns = rules.flat_map(|rule| &rule.patterns);
    patterns
        .filter_map(|pattern| match pattern {
            HostPattern::Exact(name) => Some(name.clone()),
            HostPattern::Wildcard(_) | HostPattern::Network(_) => None,
        })
        .collect()
}
