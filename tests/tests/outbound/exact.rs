//! Limits are exact, and no first connection slips past.

use std::time::Duration;

use limiter_tests::client::protocol::How;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{DNS, PLENTY, Scene, admitted};

const SECONDS: f64 = 10.0;

#[test]
fn both_cpus_on_one_name_get_its_rate_and_no_more() {
    // Bursts of half a second: a client that is kept from the CPU for a while does not lose what it may have.
    for limit in ["100/s burst 50", "5000/s burst 2500", "10000/s burst 5000"] {
        let scene = Scene::new();
        scene.name("google.com", &["10.1.0.1", "10.1.0.2"]);
        let _daemon = scene.attach(&["--default-rate", PLENTY, "--host", &format!("google.com = {limit}")]);
        let mut client = scene.client();
        client.resolve("google.com", DNS);
        let flood = client.flood(How::Udp, "10.1.0.1:9", SECONDS, 2);
        let (rate, burst) = limit.split_once("/s burst ").unwrap();
        let (rate, burst): (f64, f64) = (rate.parse().unwrap(), burst.parse().unwrap());
        let seconds = Duration::from_nanos(flood.last_ns - flood.first_ns).as_secs_f64();
        let ok = u32::try_from(flood.ok).map(f64::from).unwrap();
        let expected = burst + rate * seconds;
        println!("{limit}: {} of {expected:.1} in {seconds:.3} s, {:?} refused", flood.ok, flood.failed);
        // The last attempt was judged after its time: a little more than the time tells may be right.
        assert!(ok <= expected * 1.01 + 1.0, "{limit}: {ok} of {expected}");
        assert!(ok >= expected * 0.99 - 1.0, "{limit}: {ok} of {expected}");
        // Who was admitted at connect() and came too late with the datagram gets EPERM.
        assert_eq!(flood.failed_with(Errno::EDQUOT) + flood.failed_with(Errno::EPERM), flood.failures());
        assert_eq!(scene.counts("google.com"), (flood.ok, flood.failures()));
    }
}

/// Ten thousand names, each resolved and connected to at once by two processes on both CPUs.
#[test]
fn every_first_connection_is_charged_to_its_name() {
    for daemon_is in ["at work", "stopped", "killed"] {
        let scene = Scene::new();
        scene.zone.otherwise(|name| limiter_tests::dns::Answer::numbered(300, name));
        let daemon = scene.attach(&["--default-rate", "10/s burst 10"]);
        let pid = Pid::from_raw(daemon.pid() as i32);
        match daemon_is {
            "stopped" => kill(pid, Signal::SIGSTOP).unwrap(),
            "killed" => kill(pid, Signal::SIGKILL).unwrap(),
            _ => {}
        }
        let mut clients = [scene.client(), scene.client()];
        for (client, first) in clients.iter_mut().zip([0u64, 5000]) {
            client.tell(&limiter_tests::client::protocol::Request::Names {
                from: first,
                to: first + 5000,
                pattern: "n{}.test".into(),
                server: DNS.parse().unwrap(),
                threads: 2,
            });
        }
        for client in &mut clients {
            let names: limiter_tests::client::protocol::Names = client.hear(Duration::from_mins(1));
            assert_eq!((names.resolved, names.connects.ok), (5000, 5000), "{daemon_is}: {names:?}");
        }
        let hosts = scene.hosts();
        let slips: Vec<_> = hosts.iter().filter(|host| host["allowed"] != 1).take(5).collect();
        assert!(slips.is_empty(), "daemon {daemon_is}: {slips:?}");
        assert_eq!(hosts.len(), 10_000, "daemon {daemon_is}");
        assert_eq!(scene.outbound("/rules/0/allowed"), 10_000);
    }
}

#[test]
fn a_refused_attempt_uses_up_nothing_and_extends_nothing() {
    let scene = Scene::new();
    scene.name("a.test", &["10.1.0.1"]);
    let _daemon = scene.attach(&[
        "--default-rate",
        "1/hour burst 2",
        "--per-ip-rate",
        "1/hour burst 5",
        "--host",
        "10.1.0.0/24 = 1/hour burst 3, share host",
    ]);
    let mut client = scene.client();
    client.resolve("a.test", DNS);
    // The network's rule comes first, its burst is three; the five of the address are not used up by what that refuses.
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.0.1:9"], 20), 3);
    assert_eq!(scene.outbound("/rules/1/allowed"), 3);
    assert_eq!(scene.outbound("/rules/1/refused/per_ip"), 0);
    assert_eq!(scene.outbound("/rules/2/refused/rate"), 17);
}
