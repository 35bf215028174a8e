//! A machine with a limiter, and another host that has the names and answers on all their addresses.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::{Daemon, Machine};
use limiter_tests::dns::{Answer, DnsServer, Zone};
use limiter_tests::net::{Host, LinkOptions, Sandbox, link};

/// The DNS server.
pub const SERVER: &str = "10.0.0.1";
/// Names and what has port 80 open; nothing of this has on IPv6.
const NAMES: [(&str, &[&str]); 5] = [
    ("google.com", &["10.0.0.11"]),
    ("stackexchange.com", &["10.0.0.12"]),
    ("fresh.test", &["10.0.0.13"]),
    ("two.test", &["10.0.0.14", "10.0.0.15"]),
    ("both.test", &["10.0.0.16", "fd00::16"]),
];
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
/// For so long a client may keep the responder waiting.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Setting {
    pub machine: Machine,
    pub cgroup: Cgroup,
    pub zone: Zone,
    _daemon: Daemon,
    _server: DnsServer,
    _host: Host,
}

impl Setting {
    /// google.com and every name that is not listed may be connected to so often.
    pub fn new(google: &str, default_rate: &str) -> Self {
        let machine = Machine { host: Host::new("machine"), sandbox: Sandbox::with_resolver(SERVER) };
        let (host, cgroup, zone) = (Host::new("server"), Cgroup::new(), Zone::new());
        link(&machine.host, "eth0", &host, "eth0", LinkOptions::default());
        machine.host.add_address("eth0", "10.0.0.2/24");
        host.add_address("eth0", &format!("{SERVER}/24"));
        machine.host.add_address("eth0", "fd00::2/64");
        for (name, addresses) in NAMES {
            for address in addresses {
                host.add_address(
                    "eth0",
                    &format!("{address}/{}", if address.contains(':') { 64 } else { 24 }),
                );
            }
            zone.set(name, Answer::addresses(600, addresses));
        }
        let server = DnsServer::start(&host, format!("{SERVER}:53").parse().unwrap(), &zone);
        respond(&host);
        let daemon = machine.attach(&[
            "--cgroup",
            cgroup.path().to_str().unwrap(),
            "--default-rate",
            default_rate,
            "--backoff",
            "15s",
            "--host",
            &format!("google.com = {google}, backoff 15s"),
        ]);
        Self { machine, cgroup, zone, _daemon: daemon, _server: server, _host: host }
    }

    /// How many connections `limiterctl list hosts` says were allowed to a name, and refused.
    #[track_caller]
    pub fn counts(&self, name: &str) -> (u64, u64) {
        let said = self.machine.limiterctl(&["list", "hosts", "--output", "json"]);
        let hosts: serde_json::Value =
            serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        let mut hosts = hosts.as_array().unwrap().iter();
        let host = hosts.find(|host| host["name"] == name).unwrap_or_else(|| panic!("no {name}: {said:?}"));
        (host["allowed"].as_u64().unwrap(), host["refused"].as_u64().unwrap())
    }
}

/// Answers every connection to port 80 with the same page. The thread ends with the test's process.
fn respond(host: &Host) {
    let listener = host.run(|| TcpListener::bind("0.0.0.0:80").unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Who only connects says nothing, and may go whenever it likes.
            let _ = stream.set_read_timeout(Some(PATIENCE));
            if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(RESPONSE);
            }
        }
    });
}
