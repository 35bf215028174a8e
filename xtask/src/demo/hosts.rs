//! Five hosts: the server, and a client, an attacker and the sites on networks of their own, with a router between.
//!
//! A host is a network namespace without a name, which lasts as long as this process does. All addresses are from
//! the blocks set aside for documentation (RFC 5737, RFC 3849).

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd as _,
    path::Path,
    process::{self, Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns, unshare};

use super::sites::NAME_SERVER;

/// The hosts and their addresses.
pub const PICTURE: &str = "\
client    198.51.100.7  2001:db8:51::7   ---+
attacker  203.0.113.66  2001:db8:113::66 ---+--- router --- eth0 of the server
sites     203.0.113.142 and others       ---+       192.0.2.80  2001:db8:2::80";

/// The server's addresses.
const SERVER: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x80))];

pub struct Network {
    pub server: Host,
    pub client: Host,
    pub attacker: Host,
    /// Where the name server and the sites are.
    pub sites: Host,
    /// What the client and the attacker connect to: IPv4, and IPv6 where this machine has it.
    pub targets: Vec<SocketAddr>,
    /// Its interfaces have the names of the hosts that they lead to.
    pub router: Host,
}

impl Network {
    /// Builds it all; every host but the router has one interface, eth0.
    pub fn new() -> Result<Self> {
        let families = if Path::new(IPV6).exists() { 2 } else { 1 };
        let server = Host::new("server")?;
        let client = Host::new("client")?;
        let attacker = Host::new("attacker")?;
        let sites = Host::new("sites")?;
        let router = Host::new("router")?;

        router.set("ipv4/ip_forward", "1")?;
        if families == 2 {
            router.set("ipv6/conf/all/forwarding", "1")?;
        }
        for (host, addresses, gateways) in [
            (&server, SERVER.map(|address| address.to_string()), ["192.0.2.1", "2001:db8:2::1"]),
            (
                &client,
                ["198.51.100.7", "2001:db8:51::7"].map(str::to_owned),
                ["198.51.100.1", "2001:db8:51::1"],
            ),
            (
                &attacker,
                ["203.0.113.66", "2001:db8:113::66"].map(str::to_owned),
                ["203.0.113.1", "2001:db8:113::1"],
            ),
            (
                &sites,
                [NAME_SERVER.to_string(), "2001:db8:153::53".to_owned()],
                ["203.0.113.129", "2001:db8:153::1"],
            ),
        ] {
            link(&router, host)?;
            for (address, gateway) in addresses.iter().zip(gateways).take(families) {
                router.add_address(host.name, gateway)?;
                host.add_address("eth0", address)?;
                host.ip(&format!("route add default via {gateway}"))?;
            }
        }

        let targets = SERVER.iter().take(families).map(|&address| SocketAddr::new(address, 80)).collect();
        Ok(Self { server, client, attacker, sites, targets, router })
    }
}

const IPV6: &str = "/proc/sys/net/ipv6";

/// A cable from the router to a host: the router's end has the host's name.
fn link(router: &Host, host: &Host) -> Result<()> {
    let (name, namespace) = (host.name, host.path());
    router.ip(&format!("link add {name} type veth peer name eth0 netns {namespace}"))?;
    router.ip(&format!("link set {name} up"))?;
    host.ip("link set eth0 up")
}

pub struct Host {
    name: &'static str,
    network: File,
}

impl Host {
    fn new(name: &'static str) -> Result<Self> {
        let network = on_fresh_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        })
        .with_context(|| format!("cannot make a network namespace for the {name}"))?;
        let host = Self { name, network };
        if Path::new(IPV6).exists() {
            // A link-local address that waits for duplicates would keep the first packets waiting as well.
            host.set("ipv6/conf/default/accept_dad", "0")?;
        }
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// Runs a closure on this host. Sockets that it opens and processes that it starts stay there.
    pub fn run<T: Send>(&self, closure: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        on_fresh_thread(|| {
            setns(&self.network, CloneFlags::CLONE_NEWNET)?;
            closure()
        })
        .with_context(|| format!("on the {}", self.name))
    }

    /// What `ip link` says of eth0.
    pub fn eth0(&self) -> Result<String> {
        let output = self.run(|| Command::new("ip").args(["link", "show", "eth0"]).output())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `ip` with these arguments, separated by white space.
    fn ip(&self, arguments: &str) -> Result<()> {
        let mut ip = Command::new("ip");
        ip.args(arguments.split_whitespace()).stdin(Stdio::null());
        let output = self.run(|| ip.output()).context("cannot run ip")?;
        ensure!(
            output.status.success(),
            "on the {}, `ip {arguments}` says: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Ok(())
    }

    pub fn add_address(&self, interface: &str, address: &str) -> Result<()> {
        // Three blocks of IPv4 are for documentation, and there are four networks: one has two.
        let length = if address.contains(':') { 64 } else { 25 };
        self.ip(&format!("address add {address}/{length} dev {interface}"))
    }

    /// Writes a setting of the network.
    fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{name}");
        self.run(|| fs::write(&path, value)).with_context(|| format!("cannot write {path}"))
    }

    /// Where `ip` finds its namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.network.as_raw_fd())
    }
}

/// A thread may leave for another namespace without the rest of the process; afterwards it is of no use to others.
fn on_fresh_thread<T: Send>(closure: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let result = thread::Builder::new().spawn_scoped(scope, closure)?.join();
        Ok(result.map_err(|_| anyhow!("a thread panicked"))??)
    })
}
