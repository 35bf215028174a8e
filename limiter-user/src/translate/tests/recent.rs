//! iptables' recent. How many pass was seen with iptables 1.8.9 on Linux 6.18: see the module itself.

use super::{command, notes, refusal};

const SET: &str = "iptables -A INPUT -p tcp --syn --dport 22 -m recent --set --name ssh";
const UPDATE: &str = "iptables -A INPUT -p tcp --syn --dport 22 -m recent --update --seconds 60 --hitcount 4 --name ssh -j DROP";

#[test]
fn a_pair_is_a_rate_that_admits_as_many() {
    let rcheck = UPDATE.replace("--update", "--rcheck");
    for (pair, flags) in [
        // Seen: 11100000, and nothing more until a pause.
        ([SET, UPDATE], "--rate '3/min burst 3' --backoff 60s"),
        // Seen: 11100000, and nothing more until a pause: refused attempts are noted first.
        ([SET, &rcheck], "--rate '3/min burst 3' --backoff 60s"),
        // Seen: 11110000, and nothing more until a pause.
        ([UPDATE, SET], "--rate '4/min burst 4' --backoff 60s"),
        // Seen: 11110000, and four more in each time.
        ([&rcheck, SET], "--rate '4/min burst 4'"),
    ] {
        assert_eq!(command(&pair), format!("--port 22 {flags} --action drop"));
    }
    let notes = notes(&[SET, UPDATE]);
    for note in [
        "recent counts the last 60 s; here 3 are free, and come back one by one in 60 s",
        "recent refuses whoever goes on until he pauses; here he is refused for 60 s, and asked again",
    ] {
        assert!(notes.contains(&note.into()), "{notes:?}");
    }
}

#[test]
fn any_number_of_seconds_is_a_rate() {
    for (seconds, rate) in [
        ("20", "9/min burst 3"),
        ("300", "36/hour burst 3"),
        ("7200", "36/day burst 3"),
        ("86400", "3/day burst 3"),
        // 37,028.6 a day.
        ("7", "37028/day burst 3"),
    ] {
        let update = UPDATE.replace("60", seconds);
        let flags = format!("--port 22 --rate '{rate}' --backoff {seconds}s --action drop");
        assert_eq!(command(&[SET, &update]), flags);
        let rounded =
            notes(&[SET, &update]).iter().any(|note| note.contains("is rounded down, by less than 0.01 %"));
        assert_eq!(rounded, seconds == "7");
    }
}

#[test]
fn half_a_pair_is_refused() {
    let half = "it is one half of a pair of recent, and the other half is not next to it";
    let other_name = UPDATE.replace("ssh", "web");
    let other_port = UPDATE.replace("22", "23");
    let other_mask = UPDATE.replace("--name", "--mask 255.255.255.0 --name");
    for rules in
        [&[SET][..], &[UPDATE], &[SET, SET], &[SET, &other_name], &[SET, &other_port], &[SET, &other_mask]]
    {
        assert_eq!(refusal(rules), format!("rule 1: {half}"), "{rules:?}");
    }
    for (update, reason) in [
        // Seen: 00000, since each attempt is noted before it is counted.
        (
            UPDATE.replace("--hitcount 4", ""),
            "it lets nothing pass: --set notes each attempt before it is counted",
        ),
        (UPDATE.replace("-j DROP", ""), "what is over its limit is not refused"),
    ] {
        assert_eq!(refusal(&[SET, &update]), format!("rule 1: {reason}"));
    }
    let forever = UPDATE.replace("--seconds 60", "");
    assert_eq!(refusal(&[&forever, SET]), "rule 1: recent without --seconds never forgets");
    let ttl = UPDATE.replace("--seconds", "--rttl --seconds");
    assert_eq!(refusal(&[&ttl, SET]), "rule 1: '--rttl' of recent has no equal in limiterctl");
}

#[test]
fn without_a_hit_count_one_passes() {
    // Seen: 10000, and one more after a pause.
    let update = UPDATE.replace("--hitcount 4", "");
    assert_eq!(command(&[&update, SET]), "--port 22 --rate '1/min burst 1' --backoff 60s --action drop");
    let accepting = format!("{SET} -j ACCEPT");
    assert_eq!(command(&[&update, &accepting]), command(&[&update, SET]));
    assert!(notes(&[&update, &accepting]).iter().any(|note| note.starts_with("the pair also accepts")));
}
