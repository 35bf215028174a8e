//! What `limiterctl attach` runs: load, attach, pin, show, and take it all off again.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use aya::maps::MapData;
use limiter_common::maps;
use limiter_common::rule::Action;
use limiter_common::verdict::Reason;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::bpf::{self, Attached, Inbound, Mode, Pins, RuleTotals, SourceTable, Tables};
use crate::failure::Failure;
use crate::host;
use crate::interface::{self, Interface};
use crate::policy::{InboundRule, Policy};
use crate::state::{AttachedInterface, Lock, RuleState, State};

const SHOW_EVERY: Duration = Duration::from_secs(1);

/// What to attach where.
#[derive(Debug)]
pub struct Order {
    /// Interfaces by name.
    pub interfaces: Vec<String>,
    /// The rules.
    pub policy: Policy,
    /// How many sources get a cell of their own.
    pub max_sources: u64,
    /// The XDP mode to ask for.
    pub mode: Mode,
}

/// Attaches, stays until SIGINT or SIGTERM, detaches.
///
/// # Errors
///
/// Whatever keeps the limits from holding. Nothing is left attached then.
pub async fn run(order: &Order) -> anyhow::Result<()> {
    let entries = order.policy.entries()?;
    host::check()?;
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

    let mut inbound = Inbound::load(&entries, order.max_sources)?;
    pins.0.create()?;
    pins.0.pin_maps(inbound.maps())?;
    let state = attach(&mut inbound, &interfaces, order, &pins.0)?;
    state.save()?;
    announce(&state);

    let sources = SourceTable::map(map_data(&inbound)?)?;
    watch(&Tables::of(&inbound)?, &sources, order, &mut signals).await?;
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

fn attach(
    inbound: &mut Inbound,
    interfaces: &[Interface],
    order: &Order,
    pins: &Pins,
) -> anyhow::Result<State> {
    let answers = order.policy.rules.iter().any(|rule| rule.action == Action::Reset && !rule.monitor);
    let action = if answers { Action::Reset } else { Action::Drop };
    let program = inbound.program();
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
    Ok(State {
        program,
        interfaces: attached,
        rules: order.policy.rules.iter().map(RuleState::from).collect(),
    })
}

impl From<&InboundRule> for RuleState {
    fn from(rule: &InboundRule) -> Self {
        Self {
            name: rule.name.clone(),
            ports: rule.ports.ranges(),
            rate: rule.rate.map(|rate| rate.to_string()),
            total_rate: rule.total_rate.map(|rate| rate.to_string()),
            backoff_ms: u64::try_from(rule.backoff.as_millis()).unwrap_or(u64::MAX),
            source_prefix: rule.source_prefix,
            action: match rule.action {
                Action::Reset => "reset".into(),
                Action::Drop => "drop".into(),
            },
            monitor: rule.monitor,
        }
    }
}

/// Says what is attached where, how, and what it does.
fn announce(state: &State) {
    for interface in &state.interfaces {
        println!("limiterctl: attached to {}, {} XDP", interface.name, interface.xdp_mode);
        if let Some(why) = &interface.why_generic {
            println!("  not native: {why}");
        }
    }
    for rule in &state.rules {
        println!("limiterctl: {}", describe(rule));
    }
}

/// A rule in a sentence.
fn describe(rule: &RuleState) -> String {
    let mut limits = Vec::new();
    if let Some(rate) = &rule.rate {
        limits.push(format!("{rate} for each {}", rule.source_prefix));
    }
    if let Some(total) = &rule.total_rate {
        limits.push(format!("{total} for all together"));
    }
    let backoff = if rule.backoff_ms > 0 {
        format!(", back-off {}", humantime::format_duration(Duration::from_millis(rule.backoff_ms)))
    } else {
        String::new()
    };
    let then = if rule.monitor { "counted and let through" } else { &rule.action };
    format!("port {}: {}{backoff}; over it: {then}", rule.ports.join(","), limits.join(", "))
}

/// Shows the counters on a terminal and keeps the table of sources, until a signal comes.
async fn watch(
    tables: &Tables<&MapData>,
    sources: &SourceTable,
    order: &Order,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut show = interval(SHOW_EVERY);
    show.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweep = interval(SourceTable::SWEEP_EVERY);
    let live = io::stdout().is_terminal();
    let mut before = None;
    loop {
        tokio::select! {
            () = signals.recv() => break,
            _ = sweep.tick() => { sources.sweep(); }
            _ = show.tick(), if live => {
                let now = sum(tables, order.policy.rules.len())?;
                // Back to the start of the line, and clear what the last one left behind it.
                print!("\r{}\x1b[K", live_line(&now, before.as_ref()));
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

/// The counters of all rules together.
fn sum(tables: &Tables<&MapData>, rules: usize) -> anyhow::Result<RuleTotals> {
    let mut sum = RuleTotals::default();
    for number in 1..=rules as u32 {
        let rule = tables.rule(number)?;
        sum.passed += rule.passed;
        sum.sources += rule.sources;
        for reason in Reason::ALL {
            sum.refused[reason as usize] += rule.refused[reason as usize];
        }
    }
    Ok(sum)
}

/// `passed 1200 (15/s)  refused 34 (2/s): rate 30, total 4  sources 12`, in less than 80 columns for years.
fn live_line(now: &RuleTotals, before: Option<&RuleTotals>) -> String {
    let refused = |totals: &RuleTotals| totals.refused.iter().sum::<u64>();
    let (last_passed, last_refused) =
        before.map_or((now.passed, refused(now)), |last| (last.passed, refused(last)));
    let reasons: Vec<_> = Reason::ALL
        .into_iter()
        .filter(|&reason| now.refused[reason as usize] > 0)
        .map(|reason| format!("{} {}", reason.as_str(), now.refused[reason as usize]))
        .collect();
    format!(
        "passed {} ({}/s)  refused {} ({}/s){}{}  sources {}",
        now.passed,
        now.passed - last_passed,
        refused(now),
        refused(now) - last_refused,
        if reasons.is_empty() { "" } else { ": " },
        reasons.join(", "),
        now.sources,
    )
}

fn map_data(inbound: &Inbound) -> anyhow::Result<&MapData> {
    match inbound.map(maps::SOURCES) {
        aya::maps::Map::Array(data) => Ok(data),
        _ => anyhow::bail!("the table of sources is not an array"),
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
