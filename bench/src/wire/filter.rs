//! What stands at the server's end of the wire: a way to refuse SYNs, and how it counts them.

use std::cell::Cell;
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
use crate::packet::{PORT, Scene, closed, syn};

/// A SYN in nft's words.
const SYN: &str = "tcp flags & (fin | syn | rst | ack) == syn";

/// Which filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// An XDP program that drops everything.
    Floor,
    /// limiterctl, with a rule that next to nothing passes.
    Limiter(Action),
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
        /// What holds it.
        _link: OwnedFd,
    },
    /// xdp-filter, and the files of the machine on which it is.
    Blocked(Sandbox),
    /// A counter of nft's, and what it has counted before it was last read.
    Nft(Cell<u64>),
    /// The one rule of this table and chain.
    Iptables([&'static str; 2]),
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
        matches!(self, Self::Floor | Self::NftCount | Self::Connlimit(_) | Self::Listener { .. })
    }

    /// Puts it on the server, with room for 2 to the power of `bits` sources.
    pub fn place(self, server: &Host, bits: u32) -> anyhow::Result<Placed> {
        let sizes = "size 2097152; flags dynamic";
        match self {
            Self::Floor => Ok(Placed::Floor { _program: server.attach_xdp(SERVER, XdpAction::Drop) }),
            Self::Limiter(action) => {
                let rule = InboundRule { action, rate: Some("1/h burst 1".parse()?), ..closed() };
                // Sets of eight overflow where there are as many sources as cells: one in seven would find no place.
                let mut scene = Scene::sized(vec![rule], syn(), DEFAULT_SOURCES.max(4 << bits))?;
                let program = scene.programs().inbound().fd()?;
                let link = server
                    .run(|| bpf::attach_xdp(program, if_nametoindex(SERVER)?))
                    .context("no XDP here")?;
                Ok(Placed::Limiter { scene: Box::new(scene), action, _link: link })
            }
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
            Self::Listener { cookies } => server.run(|| {
                let path = "/proc/sys/net/ipv4/tcp_syncookies";
                std::fs::write(path, if cookies { "1" } else { "0" })
                    .with_context(|| format!("cannot write {path}"))?;
                Ok(Placed::Listener { _socket: TcpListener::bind((SERVER_ADDRESS, PORT))? })
            }),
        }
    }
}

fn nft(server: &Host, hook: &str, set: &str, verb: &str, limit: &str) -> anyhow::Result<Placed> {
    let rules = format!(
        "table ip bench {{ counter refused {{ }}; set sources {{ type ipv4_addr; {set}; }}; chain bench {{ \
         type filter hook {hook}; tcp dport {PORT} {SYN} {verb} @sources {{ ip saddr {limit} }} counter name refused drop; }}; }}"
    );
    tool::run(server.command("nft").arg(rules))?;
    Ok(Placed::Nft(Cell::default()))
}

fn iptables(server: &Host, place: [&'static str; 2], how: &str) -> anyhow::Result<Placed> {
    let arguments = format!("-w -t {} -A {} -p tcp --dport {PORT} --syn {how}", place[0], place[1]);
    tool::run(server.command("iptables").args(arguments.split_whitespace()))?;
    Ok(Placed::Iptables(place))
}

impl Placed {
    /// How many SYNs it has refused so far, by a counter of its own; nothing where it has none.
    pub fn refused(&self, server: &Host) -> anyhow::Result<Option<u64>> {
        Ok(Some(match self {
            Self::Floor { .. } | Self::Listener { .. } => return Ok(None),
            Self::Limiter { scene, action: Action::Reset, .. } => scene.counted()?.resets,
            Self::Limiter { scene, .. } => scene.counted()?.refused,
            Self::Blocked(sandbox) => {
                let text = tool::run(server.command_in(sandbox, "xdp-filter").arg("status"))?;
                number_after(&text, "XDP_DROP")?
            }
            Self::Nft(sum) => {
                // To list a counter nft first asks for every element of every set.
                let text =
                    tool::run(server.command("nft").args(["reset", "counter", "ip", "bench", "refused"]))?;
                sum.set(sum.get() + number_after(&text, "packets")?);
                sum.get()
            }
            Self::Iptables([table, chain]) => {
                let arguments = ["-w", "-t", table, "-vnxL", chain];
                let text = tool::run(server.command("iptables").args(arguments))?;
                number_after(&text, "destination")?
            }
        }))
    }
}
