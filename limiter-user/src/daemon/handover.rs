//! Names whose answers the kernel could not wholly read, on their way to who asks again.

#![expect(unsafe_code, reason = "waits for a descriptor")]

use anyhow::Context as _;
use aya::maps::{Map, MapData, RingBuf};
use limiter_common::maps;
use limiter_common::outbound::tables::UnreadName;
use tokio::io::unix::AsyncFd;

use crate::bpf::{Pins, outbound::name_text};
use crate::dns::message::answers;

/// The ring buffer, and a wait for it to fill.
pub struct Handover(AsyncFd<RingBuf<MapData>>);

impl Handover {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Where it is not there.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let ring: RingBuf<MapData> = Map::RingBuf(pins.map(maps::UNREAD_NAMES)?).try_into()?;
        // SAFETY: the ring buffer has one descriptor, the same from here until it is dropped, and then closed by it.
        let ring = unsafe { AsyncFd::register(ring) };
        Ok(Self(ring.context("cannot wait for names from the kernel")?))
    }

    /// The next name. Where this is dropped before it is done, none is lost.
    ///
    /// # Errors
    ///
    /// Where nothing can be waited for.
    pub async fn next(&mut self) -> anyhow::Result<String> {
        loop {
            let mut ready = self.0.readable_mut().await.context("cannot wait for names from the kernel")?;
            match ready.get_inner_mut().next().map(|item| hostname(&item)) {
                Some(Some(name)) => return Ok(name),
                Some(None) => {}
                None => ready.clear_ready(),
            }
        }
    }
}

/// The next name; never, where there is nothing to hand over.
pub async fn next(handover: Option<&mut Handover>) -> anyhow::Result<String> {
    match handover {
        Some(handover) => handover.next().await,
        None => std::future::pending().await,
    }
}

/// The name in an [`UnreadName`]. Only letters, digits, hyphens and underscores: what other bytes are to mean is not
/// agreed upon between those who would have to, and a name must come back as the one that was asked for. And none that could
/// not be taught, such as one with a hyphen first.
fn hostname(item: &[u8]) -> Option<String> {
    let length = item.get(size_of::<u32>()..2 * size_of::<u32>())?;
    let length = u32::from_ne_bytes(length.try_into().ok()?) as usize;
    let text = item.get(2 * size_of::<u32>()..size_of::<UnreadName>())?.get(..length)?;
    let name = name_text(text);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (name.bytes().all(is_plain) && answers(&name, &[]).is_ok()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn item(text: &[u8]) -> Vec<u8> {
        let mut item = [4u32.to_ne_bytes(), (text.len() as u32).to_ne_bytes()].concat();
        item.extend_from_slice(text);
        item.resize(size_of::<UnreadName>(), 0);
        item
    }

    #[test]
    fn plain_names_come_through_and_can_be_taught_and_others_do_not() {
        for (text, name) in [
            (&b"\x03www\x06google\x03com\0"[..], Some("www.google.com")),
            (b"\x04_dns\x06a--b_9\x01x\0", Some("_dns.a--b_9.x")),
            (b"\x02-a\x01x\0", None),
            (b"\x03a.b\x03com\0", None),
            (b"\x02\xc3\xa4\x03com\0", None),
            (b"\x02a \x03com\0", None),
            (b"\x02*\\\0", None),
        ] {
            let read = hostname(&item(text));
            assert_eq!(read.as_deref(), name, "{text:?}");
            if let Some(name) = read {
                answers(&name, &[(Ipv4Addr::LOCALHOST.into(), 1)]).unwrap();
            }
        }
        let longest =
            [&[63; 1][..], &[b'a'; 63], &[63], &[b'a'; 63], &[63], &[b'a'; 63], &[61], &[b'a'; 61], &[0]];
        let longest = longest.concat();
        assert_eq!(longest.len(), 255);
        let name = hostname(&item(&longest)).unwrap();
        answers(&name, &[(Ipv4Addr::LOCALHOST.into(), 1)]).unwrap();
        assert_eq!(hostname(&item(&longest)[..100]), None, "an item that is none");
    }
}
