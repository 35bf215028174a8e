//! Network interfaces, as rtnetlink tells of them.

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
