//! Interfaces that come, go, and get other names.

use std::collections::HashMap;
use std::future::pending;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, MulticastGroup};
use tokio::task::JoinHandle;

use super::{Interface, interface, list};

/// The interfaces of this network namespace, and news of them.
pub struct Links {
    handle: Handle,
    news: BoxStream<'static, News>,
    connection: JoinHandle<()>,
    /// The names that interfaces had when they were listed last, by their numbers.
    known: HashMap<u32, String>,
}

impl Links {
    /// Opens a netlink socket. What happens from now on is told.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn watch() -> anyhow::Result<Self> {
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
            .context("cannot watch the network interfaces")?;
        let news = messages.map(|(message, _)| News::from(message)).boxed();
        Ok(Self { handle, news, connection: tokio::spawn(connection), known: HashMap::new() })
    }

    /// All there are.
    ///
    /// # Errors
    ///
    /// Where rtnetlink does not answer.
    pub async fn all(&mut self) -> anyhow::Result<Vec<Interface>> {
        let all = list(&self.handle).await?;
        self.known = all.iter().map(|interface| (interface.index, interface.name.clone())).collect();
        Ok(all)
    }

    /// Comes back when something is different from what was listed last. Where this is dropped before, nothing is lost.
    pub async fn changed(&mut self) {
        loop {
            match self.news.next().await {
                Some(News::Is(index, name)) if self.known.get(&index) == Some(&name) => {}
                Some(News::Gone(index)) if !self.known.contains_key(&index) => {}
                Some(_) => return,
                // The socket is broken. Whoever asks looks by himself from time to time.
                None => pending().await,
            }
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // Open for news, it would never end by itself.
        self.connection.abort();
    }
}

enum News {
    /// The number and the name of an interface.
    Is(u32, String),
    /// The number that one had.
    Gone(u32),
    /// The kernel had no room for all it had to tell.
    Unknown,
}

impl From<NetlinkMessage<RouteNetlinkMessage>> for News {
    fn from(message: NetlinkMessage<RouteNetlinkMessage>) -> Self {
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                let Interface { index, name, .. } = interface(link);
                Self::Is(index, name)
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => Self::Gone(link.header.index),
            _ => Self::Unknown,
        }
    }
}
