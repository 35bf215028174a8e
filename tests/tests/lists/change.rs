//! Lists change while packets are judged.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::{Judged, Scene, syn};

const NONE: Judged = Judged::NONE;

#[test]
fn prefixes_come_and_go() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    assert_eq!(scene.judge(["198.51.100.7"; 2]), Judged { passed: 1, rate: 1, ..NONE });
    scene.says(&["allow", "add", "198.51.100.0/24"]);
    assert_eq!(scene.judge(["198.51.100.7"; 2]), Judged { allowed: 2, ..NONE });
    scene.says(&["deny", "add", "203.0.113.0/24", "2001:db8::/32"]);
    assert_eq!(scene.list("deny"), ["203.0.113.0/24", "2001:db8::/32"]);
    scene.says(&["allow", "remove", "198.51.100.0/24"]);
    assert_eq!(scene.judge(["198.51.100.7"; 2]), Judged { rate: 2, ..NONE }, "it is what it was before");
    scene.says(&["deny", "replace", "192.0.2.0/24"]);
    assert_eq!(scene.list("deny"), ["192.0.2.0/24"]);
    assert_eq!(scene.judge(["203.0.113.7", "192.0.2.7"]), Judged { passed: 1, denied: 1, ..NONE });
    assert_eq!(scene.list("allow"), Vec::<String>::new());
}

#[test]
fn replacing_one_list_leaves_the_other() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--allow", "198.51.100.0/24", "--deny", "198.51.100.0/24,203.0.113.0/24"]);
    scene.says(&["deny", "replace", "192.0.2.0/24"]);
    assert_eq!(scene.list("allow"), ["198.51.100.0/24"]);
    assert_eq!(scene.judge(["198.51.100.7"]), Judged { allowed: 1, ..NONE });
    scene.says(&["allow", "replace", "192.0.2.7"]);
    assert_eq!(
        (scene.list("allow").concat(), scene.list("deny").concat()),
        ("192.0.2.7".into(), "192.0.2.0/24".into())
    );
    assert_eq!(scene.judge(["192.0.2.7", "192.0.2.8"]), Judged { allowed: 1, denied: 1, ..NONE });
}

/// A source that is on the old list and on the new one is refused all the while.
#[test]
fn no_packet_sees_half_of_a_list_that_is_replaced() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--deny", "203.0.113.7"]);
    let others = |seed: u32| -> String {
        (0..5000)
            .map(|i| format!("{}\n", Ipv4Addr::from_bits((seed << 24) + i * 7)))
            .collect::<Vec<_>>()
            .concat()
    };
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let frame = syn("203.0.113.7");
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                scene.sender.send(&frame);
                sent += 1;
            }
            sent
        });
        for seed in 1..=12 {
            let list = others(seed) + "203.0.113.7\n";
            let said = scene.says_to(&["deny", "replace", "--file", "-"], &list);
            assert_eq!(said.code, 0, "{said:?}");
        }
        done.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    assert_eq!(scene.wait(NONE, sent), Judged { denied: sent, ..NONE });
    assert!(sent > 1000, "only {sent} were sent meanwhile");
    println!("{sent} SYNs during 12 replacements");
}

#[test]
fn lists_hold_and_change_without_a_daemon() {
    let scene = Scene::new();
    drop(scene.attach(&["--deny", "203.0.113.7"]));
    scene.says(&["deny", "add", "198.51.100.7"]);
    assert_eq!(scene.judge(["203.0.113.7", "198.51.100.7"]), Judged { denied: 2, ..NONE });
    scene.says(&["detach"]);
}

#[test]
fn what_is_no_prefix_is_pointed_at_and_changes_nothing() {
    let scene = Scene::new();
    let said = scene.server.limiterctl(&["deny", "add", "192.0.2.0/24"]);
    assert!(said.code == 2 && said.stderr.contains("no rule is attached"), "{said:?}");
    let _daemon = scene.attach(&["--deny", "203.0.113.7"]);
    let said = scene.says_to(&["deny", "replace", "--file", "-"], "192.0.2.0/24\n# good\n192.0.2.1/24\n");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("standard input:3: '192.0.2.1/24'"), "{said:?}");
    assert!(said.stderr.contains("the network that it lies in is 192.0.2.0/24"), "{said:?}");
    assert_eq!(scene.list("deny"), ["203.0.113.7"]);
}
