//! What stands at the server's end of the wire: a way to refuse SYNs, and how it counts them.

use std::cell::Cell;
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use limiter_common::maps::DEFAULT_SOURCES;
use limiter_common::rule::Action;
use limiter_tests::bpf;
use limiter_tests::net::{AttachedXdp, Host, Sandbox, XdpAction};
use limiter_user::policy::InboundRule;
use nix::net::if_::if_nametoindex;

use super::tool::{self, number_after};
use super::{SERVER, SERVER_ADDRESS};
use crate::packet::{PORT, Scene, closed, rule, syn};

/// A SYN in nft's words.
const SYN: &str = "tcp flags & (fin | syn | rst | ack) == syn";

/// Which filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// An XDP program that drops everything.
    Floor,
    /// limiterctl, with a rule that next to nothing passes.
    Limiter(Action),
    /// The same, and behind it the rule of nft's that ends what passes: as behind the filters without XDP.
    LimiterThenDrop,
    /// limiterctl, with a budget for strangers that is used up.
    Strangers,
    /// xdp-filter of xdp-tools, with the source on its list.
    Blocked,
    /// nft's dynamic set with a rate, before conntrack.
    NftRate,
    /// iptables' hashlimit, before conntrack.
    Hashlimit,
    /// nft's dynamic set with a number of connections.
    NftCount,
    /// iptables' connlimit, with the target that is named.
    Connlimit(&'static str),
    /// The same with room for 15 connections a source, and a listening socket without SYN cookies: what comes is tracked.
    ConnlimitRoom,
    /// The same of nft's dynamic set.
    NftCountRoom,
    /// None, but a listening socket; with or without SYN cookies once its queue is full.
    Listener {
        /// `net.ipv4.tcp_syncookies`
        cookies: bool,
    },
}

/// A filter in its place, until this is dropped.
pub enum Placed {
    /// A program without a counter: that of the interface is all there is.
    Floor {
        /// What holds it.
        _program: AttachedXdp,
    },
    /// limiterctl's program.
    Limiter {
        /// With its maps.
        scene: Box<Scene>,
        /// What it does to a SYN.
        action: Action,
        /// Whether it lets no newcomer pass either.
        strangers: bool,
        /// What holds it.
        _link: OwnedFd,
    },
    /// xdp-filter, and the files of the machine on which it is.
    Blocked(Sandbox),
    /// Counters of nft's, and what they have counted before they were last read: what was refused, and what was new.
    Nft([Cell<u64>; 2]),
    /// The first rule of this table and chain refuses, the second one ends what is new.
    Iptables([&'static str; 2]),
    /// The kernel's count of connections that are tracked, and a socket that they may reach.
    Tracked {
        /// What SYNs reach.
        _socket: TcpListener,
    },
    /// None.
    Listener {
        /// What SYNs reach.
        _socket: TcpListener,
    },
}

impl Filter {
    /// Whether the server needs an address: some filters see only what is for it, and what the floor would let pass is to
    /// be seen. What passes the others, once a source, is to end as soon as it can.
    pub const fn needs_address(self) -> bool {
        matches!(
            self,
            Self::Floor
                | Self::NftCount
                | Self::Connlimit(_)
                | Self::ConnlimitRoom
                | Self::NftCountRoom
                | Self::Listener { .. }
        )
    }

    /// Puts it on the server, with room for 2 to the power of `bits` sources.
    pub fn place(self, server: &Host, bits: u32) -> anyhow::Result<Placed> {
        let sizes = "size 2097152; flags dynamic";
        match self {
            Self::Floor => Ok(Placed::Floor { _program: server.attach_xdp(SERVER, XdpAction::Drop) }),
            Self::Limiter(action) => {
                limiter(server, InboundRule { action, rate: Some("1/h burst 1".parse()?), ..closed() }, bits)
            }
            Self::LimiterThenDrop => {
                let rule = format!("tcp dport {PORT} {SYN} drop");
                tool::run(server.command("nft").arg(format!(
                    "table ip behind {{ chain behind {{ type filter hook prerouting priority raw; {rule}; }}; }}"
                )))?;
                limiter(server, InboundRule { rate: Some("1/h burst 1".parse()?), ..closed() }, bits)
            }
            Self::Strangers => limiter(server, InboundRule { strangers_rate: closed().rate, ..rule() }, bits),
            Self::Blocked => {
                let sandbox = Sandbox::new();
                tool::run(
                    server.command_in(&sandbox, "xdp-filter").args(["load", "--mode", "native", SERVER]),
                )?;
                tool::run(server.command_in(&sandbox, "xdp-filter").args([
                    "ip",
                    "--mode",
                    "src",
                    super::FIRST,
                ]))?;
                Ok(Placed::Blocked(sandbox))
            }
            Self::NftRate => nft(
                server,
                "prerouting priority raw",
                &format!("{sizes}, timeout; timeout 1h"),
                "update",
                "limit rate over 1/hour burst 1 packets",
            ),
            Self::NftCount => nft(server, "input priority filter", sizes, "add", "ct count over 0"),
            Self::NftCountRoom => {
                nft_with(server, "input priority filter", sizes, "add", "ct count over 15", "accept")?;
                Ok(Placed::Tracked { _socket: listener(server, false)? })
            }
            Self::Hashlimit => {
                let how = "-m hashlimit --hashlimit-name bench --hashlimit-mode srcip --hashlimit-above 1/hour \
                           --hashlimit-burst 1 --hashlimit-htable-size 1048576 --hashlimit-htable-max 2097152 \
                           --hashlimit-htable-expire 3600000 -j DROP";
                iptables(server, ["raw", "PREROUTING"], how)
            }
            Self::Connlimit(target) => iptables(
                server,
                ["filter", "INPUT"],
                &format!("-m connlimit --connlimit-above 0 -j {target}"),
            ),
            Self::ConnlimitRoom => {
                iptables(server, ["filter", "INPUT"], "-m connlimit --connlimit-above 15 -j DROP")?;
                Ok(Placed::Tracked { _socket: listener(server, false)? })
            }
            Self::Listener { cookies } => Ok(Placed::Listener { _socket: listener(server, cookies)? }),
        }
    }
}

fn limiter(server: &Host, rule: InboundRule, bits: u32) -> anyhow::Result<Placed> {
    let (action, strangers) = (rule.action, rule.strangers_rate.is_some());
    // Sets of eight overflow where there are as many sources as cells: one in seven would find no place.
    let mut scene = Scene::sized(vec![rule], syn(), DEFAULT_SOURCES.max(4 << bits))?;
    let program = scene.programs().inbound().fd()?;
    let link = server.run(|| bpf::attach_xdp(program, if_nametoindex(SERVER)?)).context("no XDP here")?;
    Ok(Placed::Limiter { scene: Box::new(scene), action, strangers, _link: link })
}

fn listener(server: &Host, cookies: bool) -> anyhow::Result<TcpListener> {
    server.run(|| {
        let path = "/proc/sys/net/ipv4/tcp_syncookies";
        fs::write(path, if cookies { "1" } else { "0" }).with_context(|| format!("cannot write {path}"))?;
        Ok(TcpListener::bind((SERVER_ADDRESS, PORT))?)
    })
}

/// What is not refused is new, and dropped as well: a case is about the filter, and not about what comes behind it.
fn nft(server: &Host, hook: &str, set: &str, verb: &str, limit: &str) -> anyhow::Result<Placed> {
    nft_with(server, hook, set, verb, limit, "drop")
}

fn nft_with(
    server: &Host,
    hook: &str,
    set: &str,
    verb: &str,
    limit: &str,
    new: &str,
) -> anyhow::Result<Placed> {
    let rules = format!(
        "table ip bench {{ counter refused {{ }}; counter new {{ }}; set sources {{ type ipv4_addr; {set}; }}; \
         chain bench {{ type filter hook {hook}; \
         tcp dport {PORT} {SYN} {verb} @sources {{ ip saddr {limit} }} counter name refused drop; \
         tcp dport {PORT} {SYN} counter name new {new}; }}; }}"
    );
    tool::run(server.command("nft").arg(rules))?;
    Ok(Placed::Nft(Default::default()))
}

fn iptables(server: &Host, place: [&'static str; 2], how: &str) -> anyhow::Result<Placed> {
    // Of what connlimit has room for, conntrack is to see the end.
    let behind = if how.contains("connlimit") { &[][..] } else { &["-j DROP"][..] };
    for how in [how].iter().chain(behind) {
        let arguments = format!("-w -t {} -A {} -p tcp --dport {PORT} --syn {how}", place[0], place[1]);
        tool::run(server.command("iptables").args(arguments.split_whitespace()))?;
    }
    Ok(Placed::Iptables(place))
}

impl Placed {
    /// How many SYNs it has refused so far, by a counter of its own; nothing where it has none.
    pub fn refused(&self, server: &Host) -> anyhow::Result<Option<u64>> {
        Ok(Some(match self {
            Self::Floor { .. } | Self::Listener { .. } | Self::Tracked { .. } => return Ok(None),
            Self::Limiter { scene, action: Action::Reset, .. } => scene.counted()?.resets,
            Self::Limiter { scene, .. } => scene.counted()?.refused,
            Self::Blocked(sandbox) => {
                let text = tool::run(server.command_in(sandbox, "xdp-filter").arg("status"))?;
                number_after(&text, "XDP_DROP")?
            }
            Self::Nft([refused, _]) => nft_counter(server, "refused", refused)?,
            Self::Iptables(place) => iptables_counter(server, *place, 0)?.context("no rule")?,
        }))
    }

    /// How many SYNs were their source's first, by what it counts of these. Those that refuse each SYN cannot tell: all
    /// that they refused is theirs. Nothing where it knows no sources.
    pub fn new_ones(&self, server: &Host) -> anyhow::Result<Option<u64>> {
        match self {
            Self::Limiter { strangers: true, .. } => self.refused(server),
            Self::Limiter { scene, .. } => Ok(Some(scene.counted()?.passed)),
            Self::Nft([_, new]) => match nft_counter(server, "new", new)? {
                0 => self.refused(server),
                new => Ok(Some(new)),
            },
            Self::Iptables(place) => match iptables_counter(server, *place, 1)? {
                None => self.refused(server),
                new => Ok(new),
            },
            Self::Tracked { .. } => {
                let path = "/proc/sys/net/netfilter/nf_conntrack_count";
                let count = server.run(|| fs::read_to_string(path)).context("conntrack has no count")?;
                Ok(Some(count.trim().parse()?))
            }
            Self::Floor { .. } | Self::Blocked(_) | Self::Listener { .. } => Ok(None),
        }
    }
}

/// To list a counter nft first asks for every element of every set; to reset it, not.
fn nft_counter(server: &Host, name: &str, sum: &Cell<u64>) -> anyhow::Result<u64> {
    let text = tool::run(server.command("nft").args(["reset", "counter", "ip", "bench", name]))?;
    sum.set(sum.get() + number_after(&text, "packets")?);
    Ok(sum.get())
}

/// Packets of a rule by its place, if there is such a rule.
fn iptables_counter(server: &Host, [table, chain]: [&str; 2], rule: usize) -> anyhow::Result<Option<u64>> {
    let text = tool::run(server.command("iptables").args(["-w", "-t", table, "-vnxL", chain]))?;
    // Two lines of headings.
    let line = text.lines().nth(2 + rule);
    line.map(|line| number_after(line, "")).transpose()
}
