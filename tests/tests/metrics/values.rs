//! The numbers are those of what was sent.

use std::fs;

use limiter_tests::client::Client;
use limiter_tests::client::protocol::How;

use super::{ADDRESS, Scene, assert_has, get};

#[test]
fn numbers_are_those_of_what_was_sent() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--action", "drop"]);
    scene.send_syns(10);
    let mut client = Client::start(&scene.machine.host, &scene.cgroup);
    for _ in 0..5 {
        client.connect(How::Tcp, "192.0.2.9:80");
    }
    let page =
        scene.page_with(r#"limiter_refused_total{kind="inbound",rule="command-line",reason="rate"} 7"#);
    let cgroup = scene.cgroup.relative_path().display().to_string();
    assert_has(
        &page,
        &[
            "limiter_enforcing 1",
            r#"limiter_mode{mode="enforce"} 1"#,
            r#"limiter_attached{type="interface",target="eth0"} 1"#,
            &format!(r#"limiter_attached{{type="cgroup",target="{cgroup}"}} 1"#),
            r#"limiter_attached{type="sockets",target="all"} 1"#,
            r#"limiter_interface_info{interface="eth0",xdp_mode="native"} 1"#,
            r#"limiter_passed_total{kind="inbound",rule="command-line"} 3"#,
            r#"limiter_sources_total{kind="inbound",rule="command-line"} 1"#,
            r#"limiter_source_evictions_total{kind="inbound",rule="command-line"} 0"#,
            r#"limiter_open_connections{kind="inbound",rule="command-line"} 0"#,
            r#"limiter_flood{kind="inbound",rule="command-line"} 0"#,
            r#"limiter_passed_total{kind="outbound",rule="default"} 2"#,
            r#"limiter_refused_total{kind="outbound",rule="default",reason="rate"} 3"#,
            r#"limiter_map_capacity{map="sources"} 1048576"#,
            r#"limiter_map_capacity{map="hosts"} 65536"#,
            r#"limiter_map_capacity{map="prefixes"} 262144"#,
        ],
    );
    scene.page_with(r#"limiter_map_entries{map="sources"} 1"#);
}

#[test]
fn monitor_mode_is_not_enforcing() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--monitor"]);
    let page = scene.page();
    assert_has(&page, &["limiter_enforcing 0", r#"limiter_mode{mode="monitor"} 1"#]);
    assert_has(&page, &[r#"limiter_attached{type="interface",target="eth0"} 1"#]);
}

#[test]
fn an_interface_that_is_gone_is_not_enforcing() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    scene.page_with("limiter_enforcing 1");
    scene.machine.host.ip("link delete eth0");
    let page = scene.page_with("limiter_enforcing 0");
    assert_has(&page, &[r#"limiter_attached{type="interface",target="eth0"} 0"#]);
}

/// The switch is the whole machine's, so nobody turns it here.
#[test]
fn programs_have_times_where_the_kernel_counts_them() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let counts = fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").unwrap().trim() != "0";
    for name in [r#"limiter_program_runs_total{program="inbound"}"#, "limiter_program_run_seconds_total{"] {
        assert_eq!(scene.page().contains(name), counts, "{name}");
    }
}

#[test]
fn either_format_has_its_own_content_type() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let head = get(&scene.machine.host, ADDRESS, "/metrics").head;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let request = "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    let answer = super::ask(&scene.machine.host, ADDRESS, request);
    let head = &answer.head;
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
}
