//! Limits on destinations: real processes in a real cgroup, a real DNS server, real connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod comings;
mod evasion;
mod exact;
mod handover;
mod hooks;
mod learning;
mod restart;
mod story;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::client::Client;
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::{Host, LinkOptions, Sandbox, link};
use serde_json::Value;

/// What a refused call gets.
const EDQUOT: i32 = 122;
/// What a refused packet gets.
const EPERM: i32 = 1;
/// The DNS server, out in the world.
const DNS: &str = "10.0.0.53:53";
const DNS_V6: &str = "[fd00::53]:53";
/// More than is used up in any test.
const PLENTY: &str = "1000000/s burst 1000000";

/// An application's machine, and the world.
struct Scene {
    machine: Machine,
    world: Host,
    /// The application's.
    cgroup: Cgroup,
    zone: Zone,
    _servers: [DnsServer; 2],
}

impl Scene {
    fn new() -> Self {
        Self::with(Sandbox::new())
    }

    /// The machine's resolver is the world's DNS server.
    fn with_resolver() -> Self {
        Self::with(Sandbox::with_resolver("10.0.0.53"))
    }

    /// Addresses from 10.0.1.0 on, and those for documentation in IPv6, are in the world, where no port is open.
    fn with(sandbox: Sandbox) -> Self {
        let (machine, world) = (Machine { host: Host::new("machine"), sandbox }, Host::new("world"));
        link(&machine.host, "eth0", &world, "eth0", LinkOptions { xdp_tx: false, ..LinkOptions::default() });
        for (interface, host, v4, v6) in [
            ("eth0", &machine.host, "10.0.0.1/24", "fd00::1/64"),
            ("eth0", &world, "10.0.0.53/24", "fd00::53/64"),
        ] {
            host.add_address(interface, v4);
            host.add_address(interface, v6);
        }
        machine.host.add_route("10.0.0.0/8", "via 10.0.0.53");
        machine.host.ip("-6 route add 2001:db8::/32 via fd00::53");
        for prefix in ["10.0.1.0/24", "10.1.0.0/16", "10.64.0.0/10"] {
            world.ip(&format!("route add local {prefix} dev lo"));
        }
        world.ip("-6 route add local 2001:db8::/32 dev lo");
        let zone = Zone::new();
        let servers = [DNS, DNS_V6].map(|at| DnsServer::start(&world, at.parse().unwrap(), &zone));
        Self { machine, world, cgroup: Cgroup::new(), zone, _servers: servers }
    }

    fn name(&self, name: &str, addresses: &[&str]) {
        self.zone.set(name, Answer::addresses(300, addresses));
    }

    /// Limits the cgroup; `limits` are the flags that say how. The world's DNS server is not the machine's own, so it is
    /// exempt by a flag.
    #[track_caller]
    fn attach(&self, limits: &[&str]) -> Daemon {
        let path = self.cgroup.path().to_str().unwrap();
        self.machine.attach(&[&["--cgroup", path, "--exempt", "10.0.0.53,fd00::53"][..], limits].concat())
    }

    /// A process in the cgroup.
    fn client(&self) -> Client {
        Client::start(&self.machine.host, &self.cgroup)
    }

    /// What `limiterctl list hosts` says.
    #[track_caller]
    fn hosts(&self) -> Vec<Value> {
        let said = self.machine.limiterctl(&["list", "hosts", "--output", "json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    /// How many connections to a name were admitted, and how many were refused.
    #[track_caller]
    fn counts(&self, name: &str) -> (u64, u64) {
        let hosts = self.hosts();
        let host = hosts.iter().find(|host| host["name"] == name);
        host.map_or((0, 0), |host| (host["allowed"].as_u64().unwrap(), host["refused"].as_u64().unwrap()))
    }

    /// What `limiterctl why` says.
    #[track_caller]
    fn why(&self, target: &str) -> Value {
        let said = self.machine.limiterctl(&["why", target, "--output", "json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    /// The names that an address has.
    #[track_caller]
    fn names_of(&self, address: &str) -> Vec<String> {
        let why = self.why(address);
        let names = why["addresses"][0]["names"].as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// A number from `limiterctl status`, by its path.
    #[track_caller]
    fn outbound(&self, path: &str) -> u64 {
        let status = self.machine.status();
        status["outbound"].pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {status}"))
    }
}

/// How many of so many connections are not refused.
#[track_caller]
fn admitted(
    client: &mut Client,
    how: limiter_tests::client::protocol::How,
    to: &[&str],
    times: usize,
) -> usize {
    let attempts = to.iter().cycle().take(times);
    attempts.filter(|to| client.connect(how, to).errno != EDQUOT).count()
}
