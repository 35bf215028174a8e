//! A DNS server that knows the sites, and the resolv.conf that names it.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, UdpSocket},
    path::{Component, Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};

use super::hosts::Host;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Bytes before the question.
const HEADER: usize = 12;
const A: [u8; 2] = [0, 1];

type Zone = &'static [(&'static str, Ipv4Addr)];

/// Answers on a host's port 53 for as long as this process lives.
pub fn serve(host: &Host, address: Ipv4Addr, zone: Zone) -> Result<()> {
    let socket = host.run(|| UdpSocket::bind((address, 53))).context("cannot serve DNS")?;
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(reply) = answer(&query[..length], zone) {
                // Who is gone asks no more.
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    Ok(())
}

/// Makes it the only server that the processes of this mount namespace know.
pub fn point_to(server: Ipv4Addr) -> Result<()> {
    const OWN: &str = "/run/resolv.conf";
    fs::write(OWN, format!("nameserver {server}\n"))?;
    let place = resolv_conf();
    if !place.exists() {
        // A link into the machine's /run, which the demo has covered by an empty one.
        ensure!(place.starts_with("/run"), "{RESOLV_CONF} leads nowhere");
        place.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::create(&place)?;
    }
    mount(Some(OWN), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot cover {}", place.display()))
}

/// Where the file is that the name stands for, also if it is not there.
fn resolv_conf() -> PathBuf {
    let link = fs::read_link(RESOLV_CONF).unwrap_or_else(|_| RESOLV_CONF.into());
    // From /etc, every `..` leads to the root.
    let up = link.is_absolute() || link.starts_with("..");
    let below = link.components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new(if up { "/" } else { "/etc" }).join(below.collect::<PathBuf>())
}

/// The reply to a query of one question; all names have IPv4 addresses only.
fn answer(query: &[u8], zone: Zone) -> Option<Vec<u8>> {
    let (name, end) = name(query)?;
    let question = query.get(HEADER..end + 4)?;
    let site = zone.iter().find(|(site, _)| name.eq_ignore_ascii_case(site));
    let found = site.filter(|_| query[end..end + 2] == A);

    // A reply, authoritative, of a server that would ask others; 3: there is no such name.
    let code = if site.is_some() { 0 } else { 3 };
    let mut reply =
        [&query[..2], &[0x85, 0x80 | code, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]].concat();
    reply.extend(question);
    if let Some((_, address)) = found {
        // The name at offset 12, A, IN, 60 s to live, 4 bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

/// The name that is asked for, and where it ends.
fn name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?));
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{Zone, answer};

    const ZONE: Zone = &[("google.com", Ipv4Addr::new(203, 0, 113, 142))];

    fn query(name: &str, kind: u8) -> Vec<u8> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend(label.bytes());
        }
        query.extend([0, 0, kind, 0, 1]);
        query
    }

    #[test]
    fn what_is_known_is_answered() {
        let reply = answer(&query("Google.com", 1), ZONE).unwrap();
        assert_eq!(reply[..8], [7, 9, 0x85, 0x80, 0, 1, 0, 1]);
        assert_eq!(reply[reply.len() - 4..], [203, 0, 113, 142]);
        let reply = answer(&query("google.com", 28), ZONE).unwrap();
        assert_eq!((reply[3], reply[7]), (0x80, 0), "it has no IPv6 address");
        let reply = answer(&query("gogle.com", 1), ZONE).unwrap();
        assert_eq!((reply[3], reply[7]), (0x83, 0), "there is no such name");
    }

    #[test]
    fn what_is_cut_off_is_not_answered() {
        let whole = query("google.com", 1);
        for length in 0..whole.len() {
            assert_eq!(answer(&whole[..length], ZONE), None, "{length}");
        }
    }
}
