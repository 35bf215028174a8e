//! The rival: nft's meter on what leaves, for each destination.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use limiter_tests::net::Host;

use super::place::ONE;

/// The first packet of each TCP connection, and each datagram: which of these is a flow's first, only conntrack knows,
/// at a price of its own. The rates are never reached.
const RULES: &str = "
table ip bench {
    set tcp_seen { type ipv4_addr; size 131072; flags dynamic, timeout; timeout 1h; }
    set udp_seen { type ipv4_addr; size 131072; flags dynamic, timeout; timeout 1h; }
    chain output {
        type filter hook output priority filter; policy accept;
        tcp flags & (syn | ack) == syn update @tcp_seen { ip daddr limit rate over 1000000/second burst 1000000 packets } drop
        meta l4proto udp update @udp_seen { ip daddr limit rate over 1000000/second burst 1000000 packets } drop
    }
}
";

/// Puts it on a host, for good.
pub fn set_up(host: &Host) -> anyhow::Result<()> {
    let child = host.command("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn();
    let mut child = child.context("nft does not start; cargo xtask setup installs it")?;
    child.stdin.take().context("no pipe")?.write_all(RULES.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "nft takes no rules: {status}; what it said is above");
    Ok(())
}

/// Makes sure that a meter has seen the destination.
pub fn ensure_seen(host: &Host, set: &str) -> anyhow::Result<()> {
    let element = format!("{{ {} }}", ONE.first);
    let output = host.command("nft").args(["get", "element", "ip", "bench", set, &element]).output()?;
    ensure!(output.status.success(), "nft's {set} has not seen {}", ONE.first);
    Ok(())
}
