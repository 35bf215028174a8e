//! Network interfaces, as rtnetlink tells of them.

mod watch;

use std::fs;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
};

use crate::config::glob;
use crate::failure::Failure;
pub use watch::Links;

/// Never meant by a pattern: what comes in there comes from this machine.
const LOOPBACK: &str = "lo";

/// An interface of this network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number, by which programs are attached.
    pub index: u32,
    /// Whether it is one end of a virtual Ethernet pair.
    pub is_veth: bool,
    /// The id of the XDP program on it.
    pub xdp_program: Option<u32>,
}

/// All interfaces of this network namespace.
///
/// # Errors
///
/// Where rtnetlink does not answer.
pub async fn all() -> anyhow::Result<Vec<Interface>> {
    let (connection, handle, _) = rtnetlink::new_connection().context("cannot open a netlink socket")?;
    tokio::spawn(connection);
    list(&handle).await
}

/// Those of `all` that these names and patterns stand for, each once, in the order of the names; and the names and patterns
/// that stand for none.
pub fn wanted<'a>(names: &'a [String], all: &[Interface]) -> (Vec<Interface>, Vec<&'a String>) {
    let (mut found, mut missing): (Vec<Interface>, _) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        let mut meant = all.iter().filter(|interface| stands_for(name, &interface.name)).peekable();
        if meant.peek().is_none() {
            missing.push(name);
        }
        for interface in meant {
            if !found.contains(interface) {
                found.push(interface.clone());
            }
        }
    }
    (found, missing)
}

/// Holds that each of these names stands for something, and that none stands there twice. What a pattern stands for may come
/// later.
///
/// # Errors
///
/// Names the first that is not there, or that stands twice.
pub fn must_be_there(names: &[String], all: &[Interface]) -> Result<(), Failure> {
    let (_, missing) = wanted(names, all);
    if let Some(name) = missing.into_iter().find(|name| !glob::is_pattern(name)) {
        let there: Vec<_> = all.iter().map(|interface| interface.name.as_str()).collect();
        return Err(Failure::new(
            format!("no interface is called '{name}'"),
            format!("here are: {}", there.join(", ")),
        ));
    }
    match names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
        Some((_, name)) => Err(Failure::new(format!("interface '{name}' is named twice"), "name it once")),
        None => Ok(()),
    }
}

fn stands_for(pattern: &str, name: &str) -> bool {
    pattern == name || name != LOOPBACK && glob::matches(pattern, name)
}

async fn list(handle: &Handle) -> anyhow::Result<Vec<Interface>> {
    // Their statistics would be most of the answer.
    let request = handle.link().get().set_filter_mask(AddressFamily::Unspec, vec![LinkExtentMask::SkipStats]);
    let links: Vec<LinkMessage> =
        request.execute().try_collect().await.context("cannot list the network interfaces")?;
    Ok(links.into_iter().map(interface).collect())
}

/// The interface to which the default route leads: the one of IPv4, or else that of IPv6.
pub fn of_default_route() -> Option<String> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    default_of_v4(&read("/proc/net/route")).or_else(|| default_of_v6(&read("/proc/net/ipv6_route")))
}

/// Columns: interface, destination, gateway, flags, two counters, metric, mask.
fn default_of_v4(table: &str) -> Option<String> {
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let defaults = rows.filter_map(|row| match row[..] {
        [name, "00000000", _, _, _, _, metric, "00000000", ..] => {
            Some((metric.parse::<u32>().ok()?, name.into()))
        }
        _ => None,
    });
    defaults.min_by_key(|(metric, _)| *metric).map(|(_, name): (_, String)| name)
}

/// Columns: destination, its length, source, its length, gateway, metric, two counters, flags, interface.
fn default_of_v6(table: &str) -> Option<String> {
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let defaults = rows.filter_map(|row| match row[..] {
        // The kernel's own route that rejects everything is on lo.
        [destination, "00", _, "00", _, metric, _, _, _, name]
            if name != "lo" && destination.bytes().all(|digit| digit == b'0') =>
        {
            Some((u32::from_str_radix(metric, 16).ok()?, name.into()))
        }
        _ => None,
    });
    defaults.min_by_key(|(metric, _)| *metric).map(|(_, name): (_, String)| name)
}

fn interface(link: LinkMessage) -> Interface {
    let mut interface =
        Interface { name: String::new(), index: link.header.index, is_veth: false, xdp_program: None };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::LinkInfo(infos) => {
                interface.is_veth = infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
            }
            LinkAttribute::Xdp(attributes) => interface.xdp_program = xdp_program(&attributes),
            _ => {}
        }
    }
    interface
}

/// `ProgId` is only told where one program is there; with several (one native, one generic) each has its own.
fn xdp_program(attributes: &[LinkXdp]) -> Option<u32> {
    if attributes.iter().any(|attribute| matches!(attribute, LinkXdp::Attached(XdpAttached::None))) {
        return None;
    }
    attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
            Some(*id)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_interfaces_and_never_for_loopback() {
        let all: Vec<_> = ["lo", "eth0", "wlan0", "eth1"]
            .into_iter()
            .zip(1..)
            .map(|(name, index)| Interface { name: name.into(), index, is_veth: false, xdp_program: None })
            .collect();
        let meant = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let (found, missing) = wanted(&names, &all);
            let found: Vec<_> = found.into_iter().map(|interface| interface.name).collect();
            (found.join(","), missing.into_iter().cloned().collect::<Vec<_>>().join(","))
        };
        let told = |found: &str, missing: &str| (found.to_owned(), missing.to_owned());
        assert_eq!(meant(&["eth1", "eth*", "eth7", "ppp*"]), told("eth1,eth0", "eth7,ppp*"));
        assert_eq!(meant(&["*"]), told("eth0,wlan0,eth1", ""));
        assert_eq!(meant(&["lo", "l?"]), told("lo", "l?"));
        let refused = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            must_be_there(&names, &all).map_err(|failure| failure.cause)
        };
        assert_eq!(refused(&["eth0", "ppp*"]), Ok(()));
        assert_eq!(refused(&["eth7"]), Err("no interface is called 'eth7'".into()));
        assert_eq!(refused(&["eth0", "eth0"]), Err("interface 'eth0' is named twice".into()));
    }

    #[test]
    fn the_default_route_with_the_lowest_metric_tells_the_interface() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                     eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(default_of_v4(table).as_deref(), Some("eth0"));
        assert_eq!(default_of_v4("Iface\tDestination\n"), None);
        let zeros = "0".repeat(32);
        let row = |metric: &str, name: &str| {
            format!("{zeros} 00 {zeros} 00 {zeros} {metric} 00000001 00000000 00200200 {name}\n")
        };
        let table = [row("ffffffff", "lo"), row("00000400", "eth2"), row("00000064", "eth3")].concat();
        assert_eq!(default_of_v6(&table).as_deref(), Some("eth3"));
        assert_eq!(default_of_v6(&row("ffffffff", "lo")), None);
    }
}
