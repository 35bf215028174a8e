//! Network interfaces, as rtnetlink tells of them.

use std::fs;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp, XdpAttached};

use crate::failure::Failure;

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
    let links: Vec<LinkMessage> =
        handle.link().get().execute().try_collect().await.context("cannot list the network interfaces")?;
    Ok(links.into_iter().map(interface).collect())
}

/// The interfaces with these names, in this order.
///
/// # Errors
///
/// Names the first that is not there, or that stands twice.
pub async fn named(names: &[String]) -> anyhow::Result<Vec<Interface>> {
    let all = all().await?;
    let mut found: Vec<Interface> = Vec::with_capacity(names.len());
    for name in names {
        let interface = all.iter().find(|interface| interface.name == *name).ok_or_else(|| {
            let there: Vec<_> = all.iter().map(|interface| interface.name.as_str()).collect();
            Failure::new(
                format!("no interface is called '{name}'"),
                format!("here are: {}", there.join(", ")),
            )
        })?;
        if found.contains(interface) {
            return Err(Failure::new(format!("interface '{name}' is named twice"), "name it once").into());
        }
        found.push(interface.clone());
    }
    Ok(found)
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
