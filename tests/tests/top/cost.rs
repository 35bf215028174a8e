//! How much of a processor it takes.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use limiter_tests::daemon::binary;
use limiter_tests::packet::Frame;
use limiter_tests::stream::{Flood, Order, Sources};

use super::{INBOUND, PATIENCE, SERVER, SOURCE, Scene};

/// Sources with a cell each, and traffic all the while; the promise is 2 %, on a machine that does nothing else.
#[test]
fn it_takes_little_of_a_processor_also_with_a_hundred_thousand_sources() {
    const TIME: Duration = Duration::from_secs(20);
    let scene = Scene::new();
    // With resets, XDP on a veth is generic, and SYNs that a program sends are not seen.
    let _daemon = scene.server.attach(&[&INBOUND[..], &["--action", "drop"]].concat());
    let sources = Sources { first: Ipv4Addr::new(32, 0, 0, 0), bits: 17 };
    let syn = Frame::ipv4(SOURCE, SERVER).macs(scene.client.mac("eth0"), scene.server.host.mac("eth0"));
    let syn = syn.tcp(40_000, 80).syn().build();
    let flood = Flood::rewriting(&scene.client, "eth0", &syn, sources, Order::InTurn);
    scene.client.run(|| flood.send(1 << 17));
    let used = || scene.server.status()["source_table"]["used"].as_u64().unwrap();
    let end = Instant::now() + PATIENCE;
    while used() < 100_000 {
        assert!(Instant::now() < end, "{} cells", used());
        scene.client.run(|| flood.send(1 << 14));
    }
    let screen = scene.top((160, 50), &[]);
    screen.shows("enforce");
    thread::sleep(Duration::from_secs(2));
    let (start, before) = (Instant::now(), screen.computed());
    while start.elapsed() < TIME {
        scene.client.run(|| flood.send(64));
        thread::sleep(Duration::from_millis(10));
    }
    let share = 100.0 * (screen.computed() - before) / start.elapsed().as_secs_f64();
    println!("{}\n{} cells, {share:.2} % of one CPU ({})", screen.text(), used(), binary().display());
    assert!(share < 5.0, "{share:.2} % of one CPU");
}
