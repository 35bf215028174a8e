//! What the lists say goes.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::{Judged, Scene};

const NONE: Judged = Judged::NONE;

#[test]
fn what_is_allowed_passes_and_what_is_denied_does_not() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--allow", "198.51.100.0/24,2001:db8:a::/48", "--deny", "203.0.113.0/24"]);
    for source in ["198.51.100.7", "2001:db8:a::7"] {
        assert_eq!(scene.judge([source; 5]), Judged { allowed: 5, ..NONE }, "{source}");
    }
    assert_eq!(scene.judge(["203.0.113.9"; 5]), Judged { denied: 5, ..NONE });
    for source in ["198.51.101.7", "2001:db8:b::7", "203.0.114.9"] {
        assert_eq!(scene.judge([source; 3]), Judged { passed: 1, rate: 2, ..NONE }, "{source}");
    }
}

#[test]
fn allow_wins_over_deny_whichever_is_longer() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    scene.says(&["deny", "add", "198.51.0.0/16", "203.0.113.7", "2001:db8::/32"]);
    scene.says(&["allow", "add", "198.51.100.0/24", "203.0.113.0/24", "2001:db8:a::1"]);
    let expected = [
        ("198.51.100.1", Judged { allowed: 1, ..NONE }),
        ("198.51.101.1", Judged { denied: 1, ..NONE }),
        ("203.0.113.7", Judged { allowed: 1, ..NONE }),
        ("2001:db8:a::1", Judged { allowed: 1, ..NONE }),
        ("2001:db8:a::2", Judged { denied: 1, ..NONE }),
    ];
    for (source, judged) in expected {
        assert_eq!(scene.judge([source]), judged, "{source}");
    }
}

#[test]
fn prefixes_of_every_length_hold_for_what_lies_in_them() {
    const V4: u32 = 0xc633_6407;
    const V6: u128 = 0x2601_0db8_1234_5678_9abc_def0_1357_9bdf;

    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let holds = |prefix: &str, inside: &str, outside: &str| {
        scene.says(&["deny", "replace", prefix]);
        assert_eq!(scene.judge([inside]).denied, 1, "{prefix}");
        assert_eq!(scene.judge([outside]).denied, 0, "{prefix} and {outside}");
    };
    for length in 1..=32 {
        let prefix = format!("{}/{length}", Ipv4Addr::from_bits(V4 & (u32::MAX << (32 - length))));
        let outside = Ipv4Addr::from_bits(V4 ^ (1 << (32 - length))).to_string();
        holds(&prefix, &Ipv4Addr::from_bits(V4).to_string(), &outside);
    }
    for length in (4..=128).step_by(4) {
        let prefix = format!("{}/{length}", Ipv6Addr::from_bits(V6 & (u128::MAX << (128 - length))));
        let outside = Ipv6Addr::from_bits(V6 ^ (1 << (128 - length))).to_string();
        holds(&prefix, &Ipv6Addr::from_bits(V6).to_string(), &outside);
    }
}

#[test]
fn a_prefix_that_is_added_for_a_time_is_over_by_itself() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    scene.says(&["deny", "add", "--for", "1h", "198.51.100.7"]);
    scene.says(&["deny", "add", "--for", "100ms", "203.0.113.7"]);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(scene.judge(["198.51.100.7"]), Judged { denied: 1, ..NONE });
    assert_eq!(scene.judge(["203.0.113.7"]), Judged { passed: 1, ..NONE });
    assert_eq!(scene.list("deny"), ["198.51.100.7"]);
}

#[test]
fn a_list_may_hold_for_one_rule() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    scene.says(&["deny", "add", "--rule", "command-line", "198.51.100.7"]);
    assert_eq!(scene.judge(["198.51.100.7"]), Judged { denied: 1, ..NONE });
    let said = scene.server.limiterctl(&["deny", "remove", "198.51.100.7"]);
    assert_eq!(said.code, 1, "it is not on that of every rule");
    scene.says(&["deny", "remove", "--rule", "command-line", "198.51.100.7"]);
    assert_eq!(scene.judge(["198.51.100.7"]), Judged { passed: 1, ..NONE });
    let said = scene.server.limiterctl(&["deny", "add", "--rule", "web", "198.51.100.7"]);
    assert!(said.code == 2 && said.stderr.contains("here are: command-line"), "{said:?}");
}

#[test]
fn monitor_mode_counts_what_is_denied_and_lets_it_through() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--monitor", "--deny", "198.51.100.7"]);
    assert_eq!(scene.judge(["198.51.100.7"]), Judged { denied: 1, ..NONE });
    assert_eq!(scene.server.status()["mode"], "monitor");
}
