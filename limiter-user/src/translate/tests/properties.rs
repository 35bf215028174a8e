//! Whatever is put together of known parts becomes what `attach` takes, or is refused; and one unknown word refuses all.

use proptest::prelude::*;
use proptest::sample::select;

use super::{held, on, translated};
use crate::cli::translate::{accepts, order, order_of_file};
use crate::translate::{Input, translate};

/// Words that neither iptables nor nft nor this knows.
const UNKNOWN: [&str; 7] = ["--frobnicate", "xyzzy", "-Q", "--connlimit-above-all", "@", "&&", "-m geoip"];

/// Each part a match, or nothing of the kind.
fn matches() -> impl Strategy<Value = String> {
    let parts = [
        vec!["", "-i eth0", "! -i lo", "-i eth+"],
        vec!["", "", "", "! -s 10.0.0.0/8", "-s 192.0.2.1"],
        vec!["-p tcp", "-p tcp -m tcp", "-p 6", "-p tcp", "-p udp", ""],
        vec!["--dport 80", "--dport 80:90", "-m multiport --dports 80,443", ""],
        vec![
            "--syn",
            "--syn",
            "--syn",
            "--tcp-flags FIN,SYN,RST,ACK SYN",
            "-m conntrack --ctstate NEW",
            "! --syn",
            "",
        ],
        vec!["", "-m comment --comment 'a b'"],
    ];
    parts.map(select).prop_map(|parts| parts.join(" "))
}

fn limit() -> impl Strategy<Value = String> {
    let rate = (1u64..100_000, select(vec!["s", "sec", "min", "minute", "hour", "day"]), 0u64..200);
    prop_oneof![
        (0u32..70_000, 1u8..=33).prop_map(|(n, mask)| format!("-m connlimit --connlimit-above {n} --connlimit-mask {mask}")),
        (rate.clone(), select(vec!["srcip", "srcip,dstport", "dstip"])).prop_map(|((n, unit, burst), mode)| format!(
            "-m hashlimit --hashlimit-above {n}/{unit} --hashlimit-burst {burst} --hashlimit-mode {mode} --hashlimit-name x"
        )),
        rate.prop_map(|(n, unit, burst)| format!("-m limit --limit {n}/{unit} --limit-burst {burst}")),
        (1u64..100_000, 1u64..30).prop_map(|(s, hits)| format!("-m recent --update --seconds {s} --hitcount {hits}")),
        Just("-m recent --set".into()),
        Just(String::new()),
    ]
}

fn iptables() -> impl Strategy<Value = String> {
    let command = select(vec!["iptables -A INPUT", "ip6tables -A INPUT", "iptables -t raw -I PREROUTING"]);
    let target =
        select(vec!["-j DROP", "-j DROP", "-j DROP", "-j REJECT --reject-with tcp-reset", "-j ACCEPT", ""]);
    (command, matches(), limit(), target).prop_map(|(a, b, c, d)| format!("{a} {b} {c} {d}"))
}

fn nft() -> impl Strategy<Value = String> {
    let parts = [
        vec!["nft add rule inet f input", "nft add rule ip f prerouting", "nft insert rule ip6 f input"],
        vec!["", "iifname \"eth0\"", "ip saddr != 10.0.0.0/8"],
        vec!["tcp dport 80", "tcp dport { 80, 443 }", "meta l4proto tcp", ""],
        vec!["ct state new", "tcp flags & (fin|syn|rst|ack) == syn", ""],
        vec![
            "add @c { ip saddr ct count over 15 }",
            "update @c { ip6 saddr & ffff:: limit rate over 900/minute burst 60 packets }",
            "meter m { ip saddr . tcp dport limit rate over 3/week }",
            "limit rate over 20/second",
            "limit rate 20/second burst 0 packets",
            "",
        ],
        vec!["drop", "counter reject with tcp reset", "accept", ""],
    ];
    parts.map(select).prop_map(|parts| parts.join(" "))
}

fn rule() -> impl Strategy<Value = String> {
    prop_oneof![iptables(), nft()]
}

/// Two rules of iptables' recent that belong together: the one kind with a back-off.
fn pair() -> impl Strategy<Value = Vec<String>> {
    let check = (select(vec!["--update", "--rcheck"]), 1u64..100_000, 1u64..30);
    (matches(), check, any::<bool>()).prop_map(|(matches, (check, seconds, hits), noted_first)| {
        let rule = |recent: &str| format!("iptables -A INPUT {matches} -m recent {recent}");
        let mut pair =
            vec![rule("--set"), rule(&format!("{check} --seconds {seconds} --hitcount {hits} -j DROP"))];
        if !noted_first {
            pair.reverse();
        }
        pair
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_become_what_attach_takes_or_are_refused(
        rules in prop_oneof![3 => prop::collection::vec(rule(), 1..3), 1 => pair()],
    ) {
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        if let Ok(translation) = translated(&rules) {
            prop_assert_eq!(translation.command.is_none(), !translation.refused.is_empty());
            if let Some(command) = translation.command {
                prop_assert!(accepts(&command).is_ok(), "{:?}", command);
                let file = translation.file.expect("what is a command is a file as well");
                prop_assert_eq!(held(order(&command)), held(order_of_file(&file)), "{}", file);
            }
            prop_assert!(translation.refused.iter().all(|r| !r.reason.is_empty() && !r.cure.is_empty()));
        }
    }

    #[test]
    fn one_unknown_word_and_the_rule_is_refused(rule in rule(), unknown in select(UNKNOWN.to_vec()), at in any::<prop::sample::Index>()) {
        let mut words: Vec<_> = rule.split(' ').collect();
        words.insert(at.index(words.len() + 1), unknown);
        let rule = words.join(" ");
        // A comment may say anything.
        prop_assume!(!rule.contains("comment"));
        if let Ok(translation) = translated(&[&rule]) {
            prop_assert_eq!(translation.command, None, "{}", rule);
        }
    }

    #[test]
    fn no_text_at_all_makes_it_panic(text in "[ -~\n\\PC]{0,80}", rule in rule()) {
        for text in [text.clone(), format!("iptables {text}"), format!("nft add rule {text}"), format!("{rule} {text}")] {
            let _ = translate(&[Input::Rule(&text), Input::Lines(&text)], &on("eth0"), accepts);
        }
    }
}
