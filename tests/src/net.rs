//! Hosts, links between them, and a daemon's private files.
//!
//! A host is a network namespace without a name: only the test's file descriptor and the processes in it keep it
//! alive. When the test ends, also by SIGKILL, the kernel takes it away, with its links and whatever is attached to
//! them. Nothing is shared with the machine or with other tests, so all may run in parallel.

mod link;
mod sandbox;
mod xdp;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns, unshare};
use socket2::{Domain, Socket, Type};

pub use link::{LinkOptions, link};
pub use sandbox::Sandbox;
pub use xdp::{AttachedXdp, XdpAction};

use crate::packet::Mac;
use crate::sys;

/// A host of the test's own: loopback is up, IPv6 addresses are usable at once.
#[derive(Debug)]
pub struct Host {
    name: String,
    network: OwnedFd,
    /// Programs that its links need.
    programs: Mutex<Vec<AttachedXdp>>,
}

impl Host {
    /// The name is for messages only.
    pub fn new(name: &str) -> Self {
        let network = on_fresh_thread(name, || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root");
            quiet_ipv6();
            trust_sources();
            File::open("/proc/thread-self/ns/net").expect("a thread has a network namespace")
        });
        let host = Self { name: name.into(), network: network.into(), programs: Mutex::default() };
        host.ip("link set lo up");
        host
    }

    /// Runs a closure on this host. Sockets that it opens stay here wherever they are used.
    pub fn run<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> T {
        on_fresh_thread(&self.name, || {
            setns(&self.network, CloneFlags::CLONE_NEWNET).expect("root may enter a network namespace");
            closure()
        })
    }

    /// A command that will run on this host, and be killed when the thread that started it ends.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.place(program, None)
    }

    /// The same with the private files of a sandbox. It starts in the test's working directory, whatever
    /// `Command::current_dir` says.
    pub fn command_in(&self, sandbox: &Sandbox, program: impl AsRef<OsStr>) -> Command {
        self.place(program, Some(sandbox))
    }

    fn place(&self, program: impl AsRef<OsStr>, sandbox: Option<&Sandbox>) -> Command {
        let network = self.network.try_clone().expect("a descriptor to spare");
        let mut command = Command::new(program);
        sys::place(&mut command, sys::Place { network, mounts: sandbox.map(Sandbox::mounts) });
        command
    }

    /// Runs `ip` with these arguments, separated by white space, and returns what it prints.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        self.tool("ip", arguments)
    }

    /// Adds an address with its prefix length, such as `192.0.2.1/24`.
    #[track_caller]
    pub fn add_address(&self, interface: &str, address: &str) {
        // iproute2 takes `nodad` for IPv6 only.
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface} {nodad}"));
    }

    /// Says where an address is on the link, so that nobody has to ask.
    #[track_caller]
    pub fn add_neighbour(&self, interface: &str, address: IpAddr, mac: Mac) {
        self.ip(&format!("neighbour replace {address} lladdr {mac} dev {interface} nud permanent"));
    }

    /// Adds a route: a prefix or `default`, and the rest in ip's words, such as `via 192.0.2.1`.
    #[track_caller]
    pub fn add_route(&self, prefix: &str, how: &str) {
        self.ip(&format!("route add {prefix} {how}"));
    }

    /// The address of an interface on its link.
    #[track_caller]
    pub fn mac(&self, interface: &str) -> Mac {
        let addresses = self.run(|| getifaddrs().expect("the kernel lists interfaces").collect::<Vec<_>>());
        let mut named = addresses.iter().filter(|address| address.interface_name == interface);
        named
            .find_map(|address| address.address?.as_link_addr()?.addr())
            .map_or_else(|| panic!("{} has no {interface} with a MAC", self.name), Mac)
    }

    /// Lets root open ICMP echo sockets, which at first nobody may.
    #[track_caller]
    pub(crate) fn allow_ping(&self) {
        let path = "/proc/sys/net/ipv4/ping_group_range";
        let written = self.run(|| fs::write(path, "0 0"));
        written.unwrap_or_else(|error| panic!("{path} takes no group: {error}"));
    }

    #[track_caller]
    fn tool(&self, tool: &str, arguments: &str) -> String {
        let output = self.run(|| Command::new(tool).args(arguments.split_whitespace()).output());
        let output =
            output.unwrap_or_else(|error| panic!("{tool} does not start ({error}); install iproute2"));
        let (text, complaint) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "on {}: {tool} {arguments}: {complaint}", self.name);
        text.into_owned()
    }
}

/// Opens a connection from this address, on the host that the thread is on.
///
/// # Errors
///
/// What becomes of the address or the connection, or no answer for that long.
pub fn connect_from(source: IpAddr, server: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&server.into(), patience)?;
    Ok(socket.into())
}

/// A thread may change its namespaces without touching those of the test; afterwards it is of no use to others.
pub(crate) fn on_fresh_thread<T: Send>(name: &str, closure: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.into()).spawn_scoped(scope, closure);
        thread.expect("a thread to spare").join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Interfaces made from now on have no link-local address, ask for no router and never wait for a duplicate.
fn quiet_ipv6() {
    let settings =
        [("accept_dad", "0"), ("addr_gen_mode", "1"), ("autoconf", "0"), ("router_solicitations", "0")];
    for (name, value) in settings {
        // This file is that of the thread's network namespace: see net_ctl_root in the kernel's net/sysctl_net.c.
        let path = format!("/proc/sys/net/ipv6/conf/default/{name}");
        fs::write(&path, value).unwrap_or_else(|error| panic!("{path} takes no {value}: {error}"));
    }
}

/// A forged source address is no reason to drop a packet, whatever the machine thinks of it.
fn trust_sources() {
    for path in ["all", "default"].map(|name| format!("/proc/sys/net/ipv4/conf/{name}/rp_filter")) {
        fs::write(&path, "0").unwrap_or_else(|error| panic!("{path} takes no 0: {error}"));
    }
}
