//! What verbs print for programs is what docs/schemas says.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::Machine;
use limiter_tests::net::{Host, LinkOptions, connect_from, link};
use limiter_tests::schema::{check, directory, file};
use limiter_user::cli;
use serde_json::Value;

#[test]
fn the_files_are_those_of_the_types() {
    let wanted = cli::schemas();
    for (name, schema) in &wanted {
        let text = fs::read_to_string(directory().join(format!("{name}.json"))).unwrap_or_default();
        let wanted = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
        assert!(
            text == wanted,
            "docs/schemas/{name}.json is not what is printed any more; to renew all:\n    \
             cargo run -p limiter-tests --example schemas -- docs/schemas"
        );
    }
    assert_eq!(fs::read_dir(directory()).unwrap().count(), wanted.len(), "a schema of no verb");
}

#[test]
fn what_is_wrong_is_found() {
    let status = file("status");
    let right = serde_json::to_value(limiter_user::status::Status::off(None)).unwrap();
    assert_eq!(check(&right, &status, &status, ""), Ok(()));
    for (name, value) in
        [("mode", "on".into()), ("daemon_pid", "1".into()), ("more", 1.into()), ("rules", 1.into())]
    {
        let mut wrong = right.clone();
        wrong[name] = value;
        assert!(check(&wrong, &status, &status, "").is_err(), "{wrong}");
    }
    let mut wrong = right;
    wrong.as_object_mut().unwrap().remove("skipped");
    assert!(check(&wrong, &status, &status, "").is_err(), "{wrong}");
}

#[test]
fn what_is_printed_is_what_the_files_say() {
    let (machine, client, cgroup) = (Machine::new("server"), Host::new("client"), Cgroup::new());
    link(&client, "eth0", &machine.host, "eth0", LinkOptions::default());
    machine.host.add_address("eth0", "10.0.0.1/16");
    client.add_address("eth0", "10.0.1.1/16");
    let holds = |name: &str, verb: &[&str], code: i32| {
        let said = machine.limiterctl(&[verb, &["--output", "json"]].concat());
        assert_eq!(said.code, code, "{verb:?}: {said:?}");
        let value: Value =
            serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        let schema = file(name);
        assert_eq!(check(&value, &schema, &schema, name), Ok(()), "{value}");
        value
    };
    holds("status", &["status"], 1);
    let rule = "iptables -A INPUT -p tcp --syn --dport 80 -i eth0 -m connlimit --connlimit-above 15 -j DROP";
    holds("translate", &["translate", rule], 0);
    holds("translate", &["translate", "iptables -A INPUT -i eth0 -m owl -j DROP"], 1);

    let file = machine.sandbox.run(|| {
        let path = PathBuf::from("/run/limits.toml");
        let name = cgroup.path().to_str().unwrap();
        let text = format!(
            "[inbound]\ninterfaces = [\"eth0\"]\n[[inbound.rule]]\nname = \"web\"\nports = [\"80\"]\n\
             rate = \"1/hour burst 3\"\nbackoff = \"1h\"\nmax_open = 9\nstrangers_rate = \"1000/s burst 1000\"\n\
             [outbound]\ncgroups = [\"{name}\"]\n[[outbound.rule]]\nname = \"local\"\nhosts = [\"localhost\"]\n\
             rate = \"1/hour burst 1\"\n"
        );
        fs::write(&path, text).unwrap();
        fs::write("/run/wrong.toml", "[inbound]\nrate = 1\n").unwrap();
        path
    });
    let file = file.to_str().unwrap();
    holds("check", &["check", file], 0);
    holds("check", &["check", "/run/wrong.toml"], 1);
    let _daemon = machine.attach(&["--config", file]);
    let _listener = machine.host.run(|| TcpListener::bind("10.0.0.1:80").unwrap());
    let (source, server) = ("10.0.1.1".parse().unwrap(), "10.0.0.1:80".parse::<SocketAddr>().unwrap());
    let _open: Vec<_> =
        client.run(|| (0..4).map(|_| connect_from(source, server, Duration::from_secs(5))).collect());
    assert_eq!(machine.limiterctl(&["deny", "add", "192.0.2.0/24", "--for", "1h"]).code, 0);
    assert_eq!(machine.limiterctl(&["allow", "add", "198.51.100.0/24", "--rule", "web"]).code, 0);

    holds("status", &["status"], 0);
    holds("list-rules", &["list", "rules"], 0);
    assert_ne!(holds("list-sources", &["list", "sources"], 0), Value::Array(Vec::new()));
    assert_ne!(holds("list-hosts", &["list", "hosts"], 0), Value::Array(Vec::new()));
    assert_ne!(holds("deny-list", &["deny", "list"], 0), Value::Array(Vec::new()));
    assert_ne!(holds("allow-list", &["allow", "list"], 0), Value::Array(Vec::new()));
    holds("why", &["why", "localhost"], 1);
    holds("why", &["why", "127.0.0.1"], 1);
    assert_ne!(holds("unblock", &["unblock", "10.0.1.1"], 0)["freed"], Value::Array(Vec::new()));
    holds("reload", &["reload", "--dry-run"], 0);
    // A line each: one that it was attached, one that it refuses.
    let _ = client.run(|| connect_from(source, server, Duration::from_millis(50)));
    let events = machine.limiterctl(&["events", "--output", "json"]);
    let schema = limiter_tests::schema::file("events");
    let events: Vec<Value> = events.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for kind in ["state", "refusal"] {
        assert!(events.iter().any(|event| event["kind"] == kind), "{kind}: {events:?}");
    }
    for event in &events {
        assert_eq!(check(event, &schema, &schema, "events"), Ok(()), "{event}");
    }
}
