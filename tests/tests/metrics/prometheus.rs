//! A real Prometheus: its linter, its rules, and what it has after a scrape.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Scene, get, wait_for};

const SERVER: &str = "127.0.0.1:9090";

fn dist(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist").join(file).canonicalize().unwrap()
}

/// Runs promtool; it must have nothing to say against what it is given.
#[track_caller]
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("cargo xtask setup has installed it");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}\n{input}");
    said.into_owned()
}

#[test]
fn names_and_units_are_as_prometheus_wants_them() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    super::names::learn(&scene.machine, [(b"\"\\\n\xff".to_vec(), 1)]);
    let page = scene.page();
    assert_eq!(promtool(&["check", "metrics"], &page), "", "{page}");
}

#[test]
fn alerts_come_when_they_should() {
    promtool(&["check", "rules", dist("prometheus/alerts.yml").to_str().unwrap()], "");
    promtool(&["test", "rules", dist("prometheus/alerts_test.yml").to_str().unwrap()], "");
}

/// The daemon tells all but the programs' times, which depend on a switch of the machine.
#[test]
fn each_metric_that_is_named_is_served() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    super::names::learn(&scene.machine, [(b"a".to_vec(), 1)]);
    let page = scene.page();
    let served: BTreeSet<_> = page.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let mut all = BTreeSet::new();
    for file in ["grafana/limiterctl.json", "prometheus/alerts.yml", "../docs/metrics.md"] {
        let text = fs::read_to_string(dist(file)).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        all.extend(words.filter(|word| word.starts_with("limiter_")).map(str::to_owned));
    }
    assert!(all.len() > 20, "{all:?}");
    let missing: Vec<_> = all
        .iter()
        .filter(|name| !name.starts_with("limiter_program_") && !served.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{page}");
}

#[test]
fn a_prometheus_has_the_numbers_and_knows_the_alerts() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--action", "drop"]);
    scene.send_syns(10);
    scene.page_with(r#"limiter_refused_total{kind="inbound",rule="command-line",reason="rate"} 7"#);
    super::names::learn(&scene.machine, [(b"\"} 1\n\xff".to_vec(), 1)]);

    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("prometheus.yml");
    let rules = dist("prometheus/alerts.yml");
    let text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n\
         - {{job_name: limiterctl, static_configs: [{{targets: ['{}']}}]}}\n",
        rules.display(),
        super::ADDRESS
    );
    fs::write(&config, text).unwrap();
    let mut command = scene.machine.host.command("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
        .arg(format!("--web.listen-address={SERVER}"));
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("setup installs it");

    for (query, value) in [
        ("limiter_refused_total{kind=%22inbound%22,reason=%22rate%22,rule=%22command-line%22}", "7"),
        ("limiter_enforcing", "1"),
        ("limiter_host_refused_total{host=~%22.*255%22}", "1"),
        ("up{job=%22limiterctl%22}", "1"),
    ] {
        wait_for(|| {
            let body = get(&scene.machine.host, SERVER, &format!("/api/v1/query?query={query}")).body;
            let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            if answer["data"]["result"][0]["value"][1] == value {
                Ok(())
            } else {
                Err(format!("{query}: {body}"))
            }
        });
    }
    let rules = get(&scene.machine.host, SERVER, "/api/v1/rules").body;
    assert!(rules.contains("LimiterctlNotEnforcing") && !rules.contains(r#""health":"err""#), "{rules}");
    server.kill().unwrap();
    server.wait().unwrap();
}
