//! Counters of a network namespace, as files that are opened once and read again and again.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;
use limiter_tests::net::Host;

/// What a host has received.
pub struct Counters {
    devices: File,
    protocols: File,
}

impl Counters {
    /// Those of a host. A file in /proc keeps counting for the namespace in which it was opened.
    pub fn of(host: &Host) -> anyhow::Result<Self> {
        let open = |name: &str| {
            // `/proc/net` would be that of the process.
            let path = format!("/proc/thread-self/net/{name}");
            host.run(|| File::open(&path)).with_context(|| format!("cannot open {path}"))
        };
        Ok(Self { devices: open("dev")?, protocols: open("snmp")? })
    }

    /// Frames that an interface has received: a veth counts one when it is done with it (`veth_xdp_rcv` in the kernel's
    /// drivers/net/veth.c).
    pub fn received(&self, interface: &str) -> anyhow::Result<u64> {
        let text = read(&self.devices)?;
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
        // Bytes, then packets.
        let packets = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(packets.with_context(|| format!("no {interface}"))?.parse()?)
    }

    /// Segments that have come as far as TCP.
    pub fn segments(&self) -> anyhow::Result<u64> {
        let text = read(&self.protocols)?;
        // A line of names, then one of values.
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
        let (names, values) = lines.next().zip(lines.next()).context("no TCP in /proc/net/snmp")?;
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        let (_, value) = pairs.find(|(name, _)| *name == "InSegs").context("no InSegs in /proc/net/snmp")?;
        Ok(value.parse()?)
    }
}

/// Such a file writes its text anew when it is read from its start.
fn read(file: &File) -> anyhow::Result<String> {
    let mut text = vec![0; 8192];
    let mut length = 0;
    loop {
        match file.read_at(&mut text[length..], length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    text.truncate(length);
    Ok(String::from_utf8(text)?)
}
