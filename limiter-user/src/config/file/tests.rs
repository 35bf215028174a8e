//! What files say, and what is wrong with them.

mod example;
mod faults;
mod mutants;

use limiter_common::rule::{Action, Charge};

use super::*;
use crate::config::host::Share;

/// A file with one rule that lacks only a limit.
const WEB: &str = "[inbound]\ninterfaces = ['eth0']\n[[inbound.rule]]\nname = 'web'\nports = ['80']\n";
const SHOP: &str = "[outbound]\ncgroups = ['shop.service']\n";

fn good(text: &str) -> Config {
    parse("t.toml", text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}\n  {}\n{text}", fault.cure))
}

#[track_caller]
fn fault(text: &[u8]) -> Fault {
    let shown = String::from_utf8_lossy(text);
    match parse("t.toml", text) {
        Ok(config) => panic!("nothing is wrong with {shown:?}: {config:?}"),
        Err(fault) => *fault,
    }
}

#[test]
fn a_rule_says_what_the_flags_can_say() {
    let config = good(&format!(
        "{WEB}rate = '900/min burst 60'\ntotal_rate = '20000/s'\nstrangers_rate = '5000/s'\ncharge = 'handshake'\n\
         max_open = 15\nbackoff = '60s'\naction = 'drop'\nsource_prefix = {{ v4 = 24 }}\nmonitor = true\n\
         [[inbound.rule]]\nname = 'more'\nports = [443, '22', '8000-8100']\nmax_open = 1\n"
    ));
    let inbound = config.inbound.expect("it is there");
    let [web, more] = &inbound.rules[..] else { panic!("{inbound:?}") };
    assert_eq!(web.rate.as_ref().unwrap().to_string(), "900/minute burst 60");
    assert_eq!(web.total_rate.as_ref().unwrap().to_string(), "20000/second burst 20000");
    assert_eq!(web.strangers_rate.as_ref().unwrap().to_string(), "5000/second burst 5000");
    assert_eq!((web.charge, web.max_open, web.backoff.as_secs()), (Charge::Handshake, Some(15), 60));
    assert_eq!((web.action, *web.monitor), (Action::Drop, true));
    assert_eq!(web.source_prefix.to_string(), "/24 and /64");
    assert_eq!((more.name.as_str(), more.ports.to_string().as_str()), ("more", "22,443,8000-8100"));
    assert_eq!((more.charge, more.action, *more.monitor), (Charge::Syn, Action::Reset, false));
}

#[test]
fn a_rule_for_destinations_says_what_the_flags_can_say() {
    let config = good(&format!(
        "{SHOP}default = '10/s burst 10, backoff 3s'\nper_ip = '50/s'\nbackoff = '15s'\nerrno = 'EPERM'\n\
         exempt = ['10.0.0.0/8']\nmonitor = true\n[[outbound.rule]]\nname = 'google'\nhosts = ['google.com', '*.google.com']\n\
         rate = '20/s'\nlookups = '50/s'\npackets = '1000/s'\nbytes = '5 mbytes/second'\nbackoff = '1h'\nshare = 'host'\n"
    ));
    let outbound = config.outbound.expect("it is there");
    let google = &outbound.rules[0];
    let flag: crate::config::host::HostRule =
        "google.com,*.google.com = 20/s, lookups 50/s, packets 1000/s, \
        bytes 5 mbytes/second, backoff 1h, share host"
            .parse()
            .unwrap();
    assert_eq!((google.name.as_deref(), google.share), (Some("google"), Share::Host));
    assert_eq!((&google.patterns, &google.limits), (&flag.patterns, &flag.limits));
    let default = outbound.default.expect("it is there");
    assert_eq!(*default, "10/s burst 10, backoff 3s".parse().unwrap());
    let table =
        good(&format!("{SHOP}default = {{ rate = '10/s burst 10', backoff = '3s' }}")).outbound.unwrap();
    assert_eq!(*table.default.unwrap(), *default);
    assert_eq!((outbound.errno.to_string(), *outbound.monitor), ("EPERM".into(), true));
}

#[test]
fn too_many_rules_are_refused_at_the_first_beyond() {
    use std::fmt::Write as _;
    let mut text = "[inbound]\ninterfaces = ['eth0']\n".to_owned();
    for number in 1..=30_000 {
        let _ = write!(text, "[[inbound.rule]]\nname = 'r{number}'\nports = [{number}]\nrate = '1/s'\n");
    }
    let found = fault(text.as_bytes());
    assert_eq!((found.line, found.column), (2 + 4 * 255 + 1, 1));
    assert_eq!(found.message, "30000 rules are too many");
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().expect("a directory to spare");
    let unreadable = |path: &Path| match load(path) {
        Err(Unusable::Unreadable(failure)) => failure.cause,
        other => panic!("{other:?}"),
    };
    assert!(unreadable(&directory.path().join("none.toml")).contains("No such file"));
    assert!(unreadable(directory.path()).contains("Is a directory"));
    let long = directory.path().join("long.toml");
    std::fs::write(&long, vec![b'#'; (MAX_BYTES + 1) as usize]).expect("there is room");
    assert!(unreadable(&long).ends_with("it is longer than 4 MiB"));
    std::fs::write(&long, vec![b'#'; MAX_BYTES as usize]).expect("there is room");
    assert!(matches!(load(&long), Err(Unusable::Wrong(_))), "it is read, and limits nothing");
}
