//! Names in labels: whoever controls a zone chooses them.

use limiter_common::maps;
use limiter_common::name::{NameHash, NameId, NameSecret};
use limiter_common::outbound::DEFAULT_RULE;
use limiter_common::outbound::tables::HostName;
use limiter_tests::daemon::Machine;
use limiter_user::bpf::Pins;

use super::{Scene, assert_has};

/// Puts names into the kernel's table, as answers to queries would: each is one label.
pub fn learn(machine: &Machine, names: impl IntoIterator<Item = (Vec<u8>, u64)> + Send) {
    machine.sandbox.run(|| {
        let map = aya::maps::Map::LruHashMap(Pins::locate().map(maps::HOSTS).unwrap());
        let mut hosts = aya::maps::HashMap::<_, u64, HostName>::try_from(map).unwrap();
        let secret = NameSecret::new([
            0x9e37_79b9_7f4a_7c15,
            0xbf58_476d_1ce4_e5b9,
            0x94d0_49bb_1331_11eb,
            0xd6e8_feb8_6659_fd93,
        ]);
        for (name, refused) in names {
            let mut host = HostName { allowed: 1, refused, resolved: 1, length: 0, text: [0; 256] };
            host.text[0] = name.len() as u8;
            host.text[1..=name.len()].copy_from_slice(&name);
            host.length = name.len() as u64 + 2;
            let id = NameId::new(DEFAULT_RULE, NameHash::of(&secret, [name.as_slice()]));
            hosts.insert(id.bits(), host, 0).unwrap();
        }
    });
}

#[test]
fn a_hostile_name_stays_within_its_label() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let before = scene.page().lines().filter(|line| !line.starts_with('#')).count();
    learn(
        &scene.machine,
        [
            (b"\"} 1\nlimiter_enforcing 0\n# ".to_vec(), 3),
            (b"back\\slash.and.dot".to_vec(), 2),
            (b"\xff\xfe\x00\xc3".to_vec(), 1),
        ],
    );
    let page = scene.page();
    assert_has(
        &page,
        &[
            "limiter_enforcing 1",
            r#"limiter_host_refused_total{host="\"}\\0321\\010limiter_enforcing\\0320\\010#\\032",rule="default"} 3"#,
            r#"limiter_host_refused_total{host="back\\\\slash\\.and\\.dot",rule="default"} 2"#,
            r#"limiter_host_refused_total{host="\\255\\254\\000\\195",rule="default"} 1"#,
        ],
    );
    let after = page.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(after, before + 6, "two lines a name, and no other");
}

#[test]
fn names_are_bounded_in_number_and_length() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let many = (0..3_000).map(|i| (format!("n{i}").into_bytes(), i));
    learn(&scene.machine, many.chain([(vec![1; 250], 1_000_000)]));
    let page = scene.page();
    assert_eq!(page.matches("limiter_host_refused_total{").count(), 100);
    assert_has(
        &page,
        &[
            r#"limiter_host_refused_total{host="n2999",rule="default"} 2999"#,
            r#"limiter_host_refused_total{host="n2900",rule="default"} 2900"#,
            "limiter_other_hosts 2901",
            "limiter_other_hosts_passed 2901",
            &format!("limiter_other_hosts_refused {}", (0..2_900).sum::<u64>() + 1_000_000),
        ],
    );
    let longest = page.lines().map(str::len).max().unwrap();
    assert!(longest < 400, "a line of {longest} bytes");
}
