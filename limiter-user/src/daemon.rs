//! What `limiterctl attach` runs: load, attach, pin, show, and take it all off again.

mod alarm;
mod enforce;
mod follow;
mod gap;
mod handover;
mod left;
mod lists;
mod live;
mod notify;
mod plan;
mod proof;
mod reconcile;
mod refusals;
mod session;
mod trial;
mod words;

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::bpf::lists::List;
use crate::bpf::{Mode, Pins};
use crate::config::group::GroupName;
use crate::config::network::Network;
use crate::control::{App, Control, Prepared, Problem, Reloaded, Request};
use crate::events;
use crate::failure::Failure;
use crate::host;
use crate::metrics::{self, Endpoint};
use crate::policy::Policy;
use crate::state::{Lock, State, difference};
use crate::table;
use session::Session;
use trial::Trial;

/// What to attach where.
#[derive(Debug)]
pub struct Order {
    /// Interfaces by name or by pattern.
    pub interfaces: Vec<String>,
    /// Cgroups by path or by unit.
    pub cgroups: Vec<String>,
    /// What of them need not be there yet.
    pub waits: Waits,
    /// The rules.
    pub policy: Policy,
    /// How many sources get a cell of their own.
    pub max_sources: u64,
    /// The XDP mode to ask for.
    pub mode: Mode,
    /// Prefixes that are allowed, and those that are denied.
    pub lists: [(List, Vec<Network>); 2],
    /// After this time all is taken off, unless somebody confirms it.
    pub trial: Option<Duration>,
    /// Whether a clean end leaves the limits in force.
    pub keep: bool,
    /// Whether what an earlier limiterctl counted and holds is forgotten.
    pub fresh: bool,
    /// Where metrics are served.
    pub metrics: Endpoint,
    /// Who may ask why a destination is refused, besides root.
    pub app: Option<GroupName>,
}

/// What is waited for where it is not there; else that is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits {
    /// Interfaces. Patterns never need to stand for one.
    pub interfaces: bool,
    /// Cgroups.
    pub cgroups: bool,
}

/// Reads the order anew, as it is written now.
pub type Reread = Box<dyn Fn() -> anyhow::Result<Order>>;

/// Attaches, stays until SIGINT or SIGTERM, detaches.
///
/// What an earlier limiterctl has left attached is gone on with: nothing that it counted or holds is lost. SIGHUP puts in
/// force what `reread` gives then.
///
/// # Errors
///
/// Whatever keeps the limits from holding. What was attached before stays, and nothing else.
pub async fn run(mut order: Order, reread: Option<Reread>) -> anyhow::Result<()> {
    order.policy.entries()?;
    host::check()?;
    let _lock = Lock::take()?.map_err(|holder| {
        Failure::new(
            format!("limiterctl attach runs already (process {})", holder.pid),
            "end it with: limiterctl detach; or ask it what it does with: limiterctl status",
        )
    })?;
    let listener = order.metrics.listen().await?;
    if let Err(error) = events::journal::begin() {
        eprintln!("limiterctl: {error:#}");
    }
    // Before anything is attached: a signal from here on takes off what there is.
    let mut signals = Signals::listen()?;
    let pins = Pins::locate();
    let before = left::find(&pins, order.fresh)?;
    if before.is_some() {
        eprintln!("limiterctl: going on with what an earlier limiterctl had attached");
    }
    let mut remover = Remover { pins: &pins, is_armed: before.is_none() };
    let plan = enforce::plan(&order, &pins, before.as_ref()).await?;
    let prepared = order.app.as_ref().map(Prepared::new).transpose()?;
    let mut session = Session::begin(&order, plan, &pins, before.as_ref()).await?;
    remover.is_armed = !order.keep;
    let mut control = Control::listen()?;
    let mut app = App::default();
    app.put(prepared);
    let mut trial = Trial::begin(order.trial)?;
    session.state().detaches_at = order.trial.map(|time| table::time(time.as_nanos() as i64));
    session.state().save()?;
    words::warn_of_own_session(session.state(), &order.lists);
    words::announce(session.state());
    let adopted = before.is_some();
    let (word, text) =
        if adopted { ("adopted", "going on with the limits") } else { ("attached", "the limits hold") };
    events::state(word, format!("{text}{}", words::places(session.state())));
    if let Some(listener) = listener {
        tokio::spawn(metrics::serve(listener));
    }
    notify::ready(session.state());
    loop {
        let wish = tokio::select! {
            () = trial.over() => {
                eprintln!("limiterctl: nobody has confirmed the limits");
                events::state("unconfirmed", "nobody has confirmed the limits");
                remover.is_armed = true;
                Wish::End
            }
            wish = session.keep(&mut signals, &mut control) => wish?,
        };
        match wish {
            Wish::End => break,
            Wish::Reload(first) => {
                notify::reloading();
                // All that wait want the same, and it takes a while.
                let mut requests: Vec<_> = first.into_iter().collect();
                requests.extend(std::iter::from_fn(|| control.waiting()));
                let dry_run = !requests.is_empty() && requests.iter().all(|request| request.reload.dry_run);
                let result = reload(&order, reread.as_ref(), &pins, &mut session, &mut app, dry_run).await;
                answer(requests, &result.as_ref().map(|(_, changes)| changes).map_err(Problem::from));
                match result {
                    Ok((Some(new), _)) => order = new,
                    Ok((None, _)) => {}
                    Err(error) => words::not_reloaded(&error),
                }
                notify::ready(session.state());
            }
        }
    }
    let limits_stay = !remover.is_armed;
    notify::stopping(limits_stay);
    events::state(
        "ending",
        if limits_stay { "ending; the limits stay in force" } else { "ending; the limits are taken off" },
    );
    // Those who follow have their turn.
    tokio::task::yield_now().await;
    println!("limiterctl: {}", if remover.is_armed { "detached" } else { "ended; its limits stay in force" });
    Ok(())
}

/// Tells all who asked what came of it.
fn answer(requests: Vec<Request>, result: &Result<&Vec<String>, Problem>) {
    for Request { reload, answer } in requests {
        let reloaded = |changes: &Vec<String>| Reloaded { changes: changes.clone(), dry_run: reload.dry_run };
        // Who has gone away meanwhile needs no answer.
        let _ = answer.send(result.clone().map(reloaded));
    }
}

/// Puts in force what is written now, all of it or nothing; gives the new order, and what it changed. A dry run only tells.
async fn reload(
    order: &Order,
    reread: Option<&Reread>,
    pins: &Pins,
    session: &mut Session,
    app: &mut App,
    dry_run: bool,
) -> anyhow::Result<(Option<Order>, Vec<String>)> {
    let reread = reread.ok_or_else(|| {
        Failure::new(
            "there is nothing to read anew: the limits were given on the command line",
            "write them into a file, and attach it: limiterctl attach --config FILE",
        )
    })?;
    // What was there when it began may be away just now.
    let waits = Waits { interfaces: true, cgroups: true };
    let new = Order { keep: order.keep, trial: order.trial, waits, ..reread()? };
    let before = session.state().clone();
    let plan = enforce::plan(&new, pins, Some(&before)).await?;
    let changes = difference(&before, &plan.state);
    if dry_run {
        return Ok((None, changes));
    }
    let is_same = session.has(&plan) && new.mode == order.mode && new.max_sources == order.max_sources;
    if is_same {
        return Ok((Some(new), changes));
    }
    // Somebody may have confirmed meanwhile: see `Trial`.
    let detaches_at = State::load()?.and_then(|state| state.detaches_at);
    let prepared = new.app.as_ref().map(Prepared::new).transpose()?;
    *session = Session::begin(&new, plan, pins, Some(&before)).await?;
    app.put(prepared);
    session.state().detaches_at = detaches_at;
    session.state().save()?;
    words::reloaded(&changes);
    Ok((Some(new), changes))
}

/// Takes off and removes whatever is pinned, however this process ends short of SIGKILL, unless it is to stay.
struct Remover<'a> {
    pins: &'a Pins,
    is_armed: bool,
}

impl Drop for Remover<'_> {
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        State::remove();
        if let Err(error) = self.pins.remove() {
            eprintln!("limiterctl: {error:#}\n  remove it by hand: rm -r /sys/fs/bpf/limiterctl");
        }
    }
}

/// What the daemon is asked to do.
enum Wish {
    End,
    /// By somebody who waits for an answer, or by a signal.
    Reload(Option<Request>),
}

/// SIGINT and SIGTERM end it, SIGHUP makes it reload.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn recv(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::End,
            _ = self.terminate.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Reload(None),
        }
    }
}
