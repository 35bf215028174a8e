//! What `limiterctl attach` runs: load, attach, pin, show, and take it all off again.

mod alarm;
mod handover;
mod live;
mod reconcile;
mod trial;
mod words;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use alarm::Alarm;
use anyhow::Context as _;
use aya::maps::MapData;
use handover::Handover;
use limiter_common::lists::{EVERY_RULE, FOREVER};
use limiter_common::maps;
use limiter_common::rule::Action;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::bpf::lists::{List, Listed, Lists};
use crate::bpf::{self, Attached, HostTables, Mode, Pins, Programs, SourceTable, Tables};
use crate::cgroup::Cgroup;
use crate::clock;
use crate::config::hostname::HostPattern;
use crate::config::network::Network;
use crate::dns::{self, News, Watch};
use crate::failure::Failure;
use crate::host;
use crate::interface::{self, Interface};
use crate::policy::{Entries, Policy};
use crate::state::{AttachedCgroup, AttachedInterface, Lock, OutboundState, RuleState, State};
use crate::table;
use reconcile::Reconciler;
use trial::Trial;

const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a flood goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often addresses are collected that nobody resolves any more.
const COLLECT_EVERY: Duration = Duration::from_mins(1);

/// What to attach where.
#[derive(Debug)]
pub struct Order {
    /// Interfaces by name.
    pub interfaces: Vec<String>,
    /// Cgroups by path or by unit.
    pub cgroups: Vec<String>,
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
}

/// Attaches, stays until SIGINT or SIGTERM, detaches.
///
/// # Errors
///
/// Whatever keeps the limits from holding. Nothing is left attached then.
pub async fn run(order: &Order) -> anyhow::Result<()> {
    let entries = order.policy.entries()?;
    host::check()?;
    let cgroups = Cgroup::all(&order.cgroups)?;
    let _lock = Lock::take()?.map_err(|holder| {
        Failure::new(
            format!("limiterctl attach runs already (process {})", holder.pid),
            "end it with: limiterctl detach; or ask it what it does with: limiterctl status",
        )
    })?;
    // Before anything is attached: a signal from here on takes off what there is.
    let mut signals = Signals::listen()?;
    let pins = Remover(Pins::locate());
    if pins.0.remove()? > 0 {
        eprintln!("limiterctl: replacing what a killed limiterctl had left attached");
    }
    let interfaces = interface::named(&order.interfaces).await?;
    if let Some((taken, id)) = interfaces.iter().find_map(|i| i.xdp_program.map(|id| (i, id))) {
        return Err(bpf::other_program(taken, id).into());
    }

    let mut programs = Programs::load(&entries, order.max_sources)?;
    pins.0.create()?;
    pins.0.pin_maps(programs.maps())?;
    fill_lists(order, &pins.0)?;
    let outbound = attach_to_cgroups(&mut programs, &cgroups, order, &pins.0)?;
    let mut reconciler = count_open(&mut programs, &entries, &pins.0).await?;
    let mut state = attach(&mut programs, &interfaces, outbound, order, &pins.0)?;
    let mut trial = Trial::begin(order.trial)?;
    state.detaches_at = order.trial.map(|time| table::time(time.as_nanos() as i64));
    state.save()?;
    words::warn_of_own_session(&state, &order.lists);
    words::announce(&state);

    let alarm = Alarm::new(&state.rules, &pins.0)?;
    let mut watch = Watch::new(exact_names(&order.policy))?;
    tokio::select! {
        () = trial.over() => eprintln!("limiterctl: nobody has confirmed the limits"),
        result = keep(&mut programs, &pins.0, order, reconciler.as_mut(), alarm, &mut watch, &mut signals) => result?,
    }
    println!("limiterctl: detached");
    Ok(())
}

/// Takes off and removes whatever is pinned, however this process ends short of SIGKILL.
struct Remover(Pins);

impl Drop for Remover {
    fn drop(&mut self) {
        State::remove();
        if let Err(error) = self.0.remove() {
            eprintln!("limiterctl: {error:#}\n  remove it by hand: rm -r /sys/fs/bpf/limiterctl");
        }
    }
}

/// Puts prefixes on the lists before the first packet is judged.
fn fill_lists(order: &Order, pins: &Pins) -> anyhow::Result<()> {
    for (list, networks) in order.lists.iter().filter(|(_, networks)| !networks.is_empty()) {
        let listed: Vec<_> =
            networks.iter().map(|&network| Listed { network, scope: EVERY_RULE, until: FOREVER }).collect();
        Lists::open(pins)?.add(*list, &listed)?;
    }
    Ok(())
}

fn attach(
    programs: &mut Programs,
    interfaces: &[Interface],
    outbound: Option<OutboundState>,
    order: &Order,
    pins: &Pins,
) -> anyhow::Result<State> {
    let rules = order.policy.rules.iter().map(RuleState::from).collect();
    if interfaces.is_empty() {
        return Ok(State { program: 0, interfaces: Vec::new(), rules, outbound, detaches_at: None });
    }
    let answers = order.policy.rules.iter().any(|rule| rule.action == Action::Reset && !rule.monitor);
    let action = if answers { Action::Reset } else { Action::Drop };
    let program = programs.inbound();
    let mut attached = Vec::with_capacity(interfaces.len());
    for interface in interfaces {
        let Attached { link, mode, why_generic } = bpf::attach(program, interface, order.mode, action)?;
        pins.pin_link(interface.index, link)?;
        attached.push(AttachedInterface {
            name: interface.name.clone(),
            index: interface.index,
            xdp_mode: mode,
            why_generic,
        });
    }
    let program = program.info().context("cannot ask for the program's id")?.id();
    Ok(State { program, interfaces: attached, rules, outbound, detaches_at: None })
}

/// Counts open connections from now on, and those that are open already; `None` where no rule limits them.
async fn count_open(
    programs: &mut Programs,
    entries: &Entries,
    pins: &Pins,
) -> anyhow::Result<Option<Reconciler>> {
    let Some(mut reconciler) = Reconciler::new(entries, pins)? else { return Ok(None) };
    pins.pin_count_open(programs.attach_count_open(&Cgroup::open_root()?)?)?;
    reconciler.reconcile(programs, false).await?;
    Ok(Some(reconciler))
}

fn attach_to_cgroups(
    programs: &mut Programs,
    cgroups: &[Cgroup],
    order: &Order,
    pins: &Pins,
) -> anyhow::Result<Option<OutboundState>> {
    let Some(policy) = &order.policy.outbound else { return Ok(None) };
    let mut attached = Vec::with_capacity(cgroups.len());
    for cgroup in cgroups {
        let links = programs
            .attach_to_cgroup(&cgroup.open()?)
            .with_context(|| format!("cannot limit cgroup {}", cgroup.name))?;
        for (program, link) in links {
            pins.pin_cgroup_link(cgroup.id, &program, link)?;
        }
        attached.push(AttachedCgroup { name: cgroup.name.clone(), path: cgroup.path.clone(), id: cgroup.id });
    }
    Ok(Some(OutboundState {
        cgroups: attached,
        rules: words::host_rules(policy),
        errno: policy.errno.to_string(),
        monitor: policy.monitor,
    }))
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

/// Shows the counters on a terminal, keeps the tables, and resolves listed names, until a signal comes.
async fn keep(
    programs: &mut Programs,
    pins: &Pins,
    order: &Order,
    mut reconciler: Option<&mut Reconciler>,
    mut alarm: Option<Alarm>,
    watch: &mut Watch,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut show = interval(SHOW_EVERY);
    show.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweep = interval(SourceTable::SWEEP_EVERY);
    let mut tables = Vec::new();
    for name in [maps::SOURCES, maps::KNOWN, maps::STATES, maps::SHARED_STATES] {
        tables.push(SourceTable::map(map_data(programs, name)?)?);
    }
    let pending = SourceTable::map(map_data(programs, maps::PENDING)?)?;
    let mut reconcile = interval(Reconciler::EVERY);
    reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let inbound = Tables::<MapData>::pinned(pins)?;
    let mut outbound = order.policy.outbound.is_some().then(|| HostTables::pinned(pins)).transpose()?;
    let mut collect = interval(COLLECT_EVERY);
    let mut look = interval(LOOK_EVERY);
    let mut handover = order.policy.outbound.is_some().then(|| Handover::open(pins)).transpose()?;
    let live = io::stdout().is_terminal();
    let mut before = None;
    loop {
        tokio::select! {
            () = signals.recv() => break,
            _ = sweep.tick() => {
                for table in &tables {
                    table.sweep();
                }
                pending.sweep_pending();
            }
            _ = reconcile.tick() => if let Some(reconciler) = &mut reconciler {
                reconciler.keep(programs).await;
            },
            _ = collect.tick() => if let Some(outbound) = &mut outbound { outbound.sweep(clock::now())?; },
            name = handover::next(handover.as_mut()) => watch.add(name?),
            news = watch.next() => match news {
                News::Answer(answer) => for message in dns::message::answers(&answer.name, &answer.addresses)? {
                    programs.teach_answer(&message)?;
                },
                News::Failing { name, why } => words::warn_unresolved(&name, &why),
            },
            _ = look.tick() => if let Some(alarm) = &mut alarm { alarm.look(); },
            _ = show.tick(), if live => {
                let now = live::sum(&inbound, outbound.as_ref(), &order.policy)?;
                // Back to the start of the line, and clear what the last one left behind it.
                print!("\r{}\x1b[K", live::line(&now, before.as_ref()));
                io::stdout().flush()?;
                before = Some(now);
            }
        }
    }
    if live {
        println!();
    }
    Ok(())
}

fn map_data<'a>(programs: &'a Programs, name: &str) -> anyhow::Result<&'a MapData> {
    match programs.map(name) {
        aya::maps::Map::Array(data) => Ok(data),
        _ => anyhow::bail!("map {name} is not an array"),
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
