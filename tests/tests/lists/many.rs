//! A hundred thousand prefixes.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::{Judged, Scene};

const COUNT: u32 = 100_000;
/// What the processor may be busy with one list. The clock on the wall is not ours to promise.
const MOST: Duration = Duration::from_secs(2);

/// In every third /24 from 20.0.0.0 on begins a prefix of 25 to 32 bits: its first address, and its length.
const fn prefix(i: u32) -> (u32, u32) {
    (0x1400_0000 + i * 256 * 3, 25 + i % 8)
}

#[test]
fn a_hundred_thousand_prefixes_load_and_hold_exactly() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let mut text = String::from("# a list\n\n");
    for i in 0..COUNT {
        let (first, length) = prefix(i);
        writeln!(text, "{}/{length} # number {i}", Ipv4Addr::from_bits(first)).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text).unwrap();
    let path = file.path().to_str().unwrap();
    for verb in ["add", "replace"] {
        let time = processor_time(&scene, &["deny", verb, "--file", path]);
        println!("{verb}: {time:?} of processor time");
        assert!(time < MOST, "{verb}: {time:?}");
    }
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for i in (0..COUNT).step_by(97) {
        let (first, length) = prefix(i);
        let last = first + (1 << (32 - length)) - 1;
        inside.extend([first, last]);
        outside.extend([first - 1, last + 1]);
    }
    inside.dedup();
    let text = |addresses: &[u32]| -> Vec<String> {
        addresses.iter().map(|address| Ipv4Addr::from_bits(*address).to_string()).collect()
    };
    let (inside, outside) = (text(&inside), text(&outside));
    let judged = scene.judge(inside.iter().map(String::as_str));
    assert_eq!(judged, Judged { denied: inside.len() as u64, ..Judged::NONE });
    assert_eq!(scene.judge(outside.iter().map(String::as_str)).denied, 0);
}

/// How long a verb kept the processor busy.
fn processor_time(scene: &Scene, arguments: &[&str]) -> Duration {
    let verb = [&[limiter_tests::daemon::binary().to_str().unwrap()], arguments].concat().join(" ");
    let mut shell = scene.server.host.command_in(&scene.server.sandbox, "sh");
    let said = shell.args(["-c", &format!("{verb} && times")]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("100000 prefixes denied"), "{said}");
    // The last line is that of the children, user and system: 0m0.042s 0m0.120s
    let times = said.lines().last().unwrap().split_whitespace().map(|time| {
        let (minutes, seconds) = time.strip_suffix('s').unwrap().split_once('m').unwrap();
        Duration::from_secs_f64(60.0 * minutes.parse::<f64>().unwrap() + seconds.parse::<f64>().unwrap())
    });
    times.sum()
}

#[test]
fn more_than_there_is_room_for_are_refused_and_the_list_stays() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--deny", "203.0.113.7"]);
    let lines = (0..=1u32 << 18).map(|i| format!("{}\n", Ipv4Addr::from_bits(i << 8)));
    let text = lines.collect::<Vec<_>>().concat();
    for verb in ["add", "replace"] {
        let said = scene.says_to(&["deny", verb, "--file", "-"], &text);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains("prefixes are too many"), "{said:?}");
        assert_eq!(scene.list("deny"), ["203.0.113.7"]);
    }
}
