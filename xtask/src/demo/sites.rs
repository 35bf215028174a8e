//! The sites that the shop's application asks: they count who comes.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{hosts::Host, names};

pub const GOOGLE: &str = "google.com";
pub const STACKEXCHANGE: &str = "stackexchange.com";
/// A name that no rule lists.
pub const OTHER: &str = "example.org";

/// The addresses are not theirs, but from a block for documentation.
const ZONE: &[(&str, Ipv4Addr)] = &[
    (GOOGLE, Ipv4Addr::new(203, 0, 113, 142)),
    (STACKEXCHANGE, Ipv4Addr::new(203, 0, 113, 151)),
    (OTHER, Ipv4Addr::new(203, 0, 113, 160)),
];
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 153);

/// How long a guest may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Sites(Vec<(&'static str, Arc<AtomicU64>)>);

impl Sites {
    /// Opens them on a host that has the name server's address, and lets them be found.
    pub fn open(host: &Host) -> Result<Self> {
        names::serve(host, NAME_SERVER, ZONE)?;
        let sites = ZONE.iter().map(|&(name, address)| {
            host.add_address("eth0", &address.to_string())?;
            let listener = host.run(|| TcpListener::bind((address, 80))).with_context(|| name)?;
            let guests = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&guests);
            thread::spawn(move || receive(name, &listener, &counter));
            Ok((name, guests))
        });
        sites.collect::<Result<_>>().map(Self)
    }

    /// How many connections have reached a site.
    pub fn guests(&self, name: &str) -> u64 {
        self.0
            .iter()
            .filter(|(site, _)| *site == name)
            .map(|(_, guests)| guests.load(Ordering::Relaxed))
            .sum()
    }
}

fn receive(name: &'static str, listener: &TcpListener, guests: &AtomicU64) {
    for stream in listener.incoming().flatten() {
        guests.fetch_add(1, Ordering::Relaxed);
        // Whoever goes away early is counted as well.
        thread::spawn(move || greet(name, stream));
    }
}

fn greet(name: &str, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    // The request fits into one segment, and is not looked at.
    let _ = stream.read(&mut [0; 4096])?;
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nHello from {name}\n")
}
