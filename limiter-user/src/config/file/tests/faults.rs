//! What is wrong with files: in tables, by what is written, where it is wrong, and what is said of it.

use super::*;

/// Holds that these faults are found: text, the fault's line, column and message, and a part of the cure.
#[track_caller]
fn faults(begin: &str, rows: &[(&str, &str, &str)]) {
    for (text, found, cure) in rows {
        let fault = fault(format!("{begin}{text}").as_bytes());
        assert_eq!(format!("{}:{}: {}", fault.line, fault.column, fault.message), *found, "{text}");
        assert!(fault.cure.contains(cure), "{text}: the cure should say '{cure}': {}", fault.cure);
    }
}

#[test]
fn what_is_no_table_and_what_is_missing_is_pointed_at() {
    faults(
        "",
        &[
            ("", "1:1: the file limits nothing", "begin with [inbound]"),
            ("# nothing\n", "1:1: the file limits nothing", "begin with [inbound]"),
            (
                "[inbund]",
                "1:2: there is no key 'inbund' here",
                "did you mean 'inbound'? known here: inbound, outbound, app",
            ),
            ("[metrics]", "1:2: there is no key 'metrics' here", "flag: limiterctl attach --metrics"),
            ("inbound = 3", "1:11: here is the number 3, and should be a table", "header in brackets"),
            ("inbound = [1]", "1:11: here is a list, and should be a table", "header in brackets"),
            ("[inbound", "1:9: unclosed table, expected `]`", "the name of a table in brackets"),
            ("[inbound]", "1:1: 'interfaces' is missing here", "add a line such as: interfaces = [\"eth0\"]"),
            ("[inbound]\ninterfaces = []", "2:14: no interface is named", "an empty list does not mean all"),
            (
                "[inbound]\ninterfaces = ['']",
                "2:15: this is the name of no interface",
                "interfaces = [\"eth0\"]",
            ),
            ("[inbound]\ninterfaces = ['a', 'a']", "2:20: interface 'a' is named twice", "name it once"),
            (
                "[inbound]\ninterfaces = 'a'",
                "2:14: here is the text \"a\", and should be a list",
                "in brackets",
            ),
            (
                "[inbound]\ninterfaces = ['a']",
                "1:1: [inbound] has no rule: nothing would be limited",
                "[[inbound.rule]]",
            ),
            ("[outbound]\ndefault = '1/s'", "1:1: 'cgroups' is missing here", "shop.service"),
            ("[outbound]\ncgroups = []", "2:11: no cgroup is named", "an empty list does not mean all"),
            ("[app]\ngroup = 'shop'", "1:1: the file limits nothing", "begin with [inbound]"),
            (
                "[app]\ngroup = 'a b'\n[outbound]\ncgroups = ['a']\nper_ip = '1/s'",
                "2:9: 'a b' is no name of a group",
                "getent group",
            ),
            ("[app]", "1:1: 'group' is missing here", "add a line such as: group = \"shop\""),
            ("é = 1", "1:1: invalid unquoted key, expected letters, numbers, `-`, `_`", "https://toml.io"),
            ("\0", "1:2: key with no value, expected `=`", "https://toml.io"),
        ],
    );
}

#[test]
fn what_is_wrong_with_a_rule_is_pointed_at() {
    faults(
        WEB,
        &[
            ("", "4:8: rule 'web' limits nothing", "rate = \"900/min burst 60\""),
            (
                "rat = '1/s'",
                "6:1: there is no key 'rat' here",
                "did you mean 'rate'? known here: name, ports, rate",
            ),
            ("max-open = 5", "6:1: there is no key 'max-open' here", "did you mean 'max_open'? "),
            ("rate = 900", "6:8: here is the number 900, and should be text in quotes", "put it in quotes"),
            (
                "\trate = '1/q'",
                "6:9: '1/q': 'q' at character 3 is not a unit of time",
                "write a rate as '900/min burst 60'",
            ),
            (
                "total_rate = '99999999/s'",
                "6:14: '99999999/second burst 99999999' is too fast",
                "the highest rate",
            ),
            ("rate = '1/s'\nrate = '1/s'", "7:1: duplicate key", "key = value"),
            (
                "rate = \"1/s\0\"",
                "6:12: invalid basic string, expected non-double-quote visible characters, `\\`",
                "toml",
            ),
            ("rate = '1/s", "6:12: invalid literal string, expected `'`", "text stands in quotes"),
            (
                "action = 'rest'",
                "6:10: 'rest' is not known here",
                "did you mean 'reset'? choose one of: reset, drop",
            ),
            ("charge = 'ack'", "6:10: 'ack' is not known here", "choose one of: syn, handshake"),
            ("max_open = 0", "6:12: 0 is out of bounds", "from 1 to 65535"),
            ("max_open = -1", "6:12: -1 is out of bounds", "from 1 to 65535"),
            (
                "max_open = 99999999999999999999",
                "6:12: here is the number 99999999999999999999, and should be a whole number",
                "without quotes",
            ),
            ("max_open = 1.5", "6:12: here is the number 1.5, and should be a whole number", "whole number"),
            (
                "monitor = 'yes'",
                "6:11: here is the text \"yes\", and should be true or false",
                "true or false",
            ),
            ("rate = '1/s'\nbackoff = '25h'", "7:11: '25h' is too long", "24 hours are the longest"),
            (
                "max_open = 1\nbackoff = '5s'",
                "7:11: rule 'web' has a back-off, but no rate that a source could pass",
                "rate",
            ),
            (
                "max_open = 1\ncharge = 'handshake'",
                "7:10: rule 'web' charges handshakes, but has no rate that they could use up",
                "leave charge out",
            ),
            ("source_prefix = { v4 = 0 }", "6:24: 0 is out of bounds", "from 1 to 32"),
            ("source_prefix = { v5 = 1 }", "6:19: there is no key 'v5' here", "known here: v4, v6"),
            (
                "source_prefix = '24'",
                "6:17: '24': '24' at character 1 is not two lengths with a comma between",
                "32,64",
            ),
            (
                "source_prefix = 5",
                "6:17: here is the number 5, and should be text in quotes, or a table",
                "quotes",
            ),
            ("source_prefix = 2020-01-01", "6:17: here is a date or a time", "put it in quotes"),
        ],
    );
}

#[test]
fn what_two_rules_disagree_about_is_pointed_at_in_the_second() {
    faults(
        WEB,
        &[
            (
                "rate = '1/s'\n[[inbound.rule]]\nname = 'web'\nports = [1]\nrate = '1/s'",
                "8:8: two rules are called 'web'",
                "a name of its own",
            ),
            (
                "rate = '1/s'\n[[inbound.rule]]\nname = 'b'\nports = [443, '79-81']\nrate = '1/s'",
                "9:15: port 80 is in rule 'web' and in rule 'b'",
                "in one rule only",
            ),
            (
                "rate = '1/s'\n[[inbound.rule]]\nname = 'b'\nports = [443, 443]\nrate = '1/s'",
                "9:15: port 443 is named twice in rule 'b'",
                "once",
            ),
            (
                "rate = '1/s'\n[[inbound.rule]]\nname = 'b'\nports = []",
                "9:9: rule 'b' names no port",
                "1-65535",
            ),
            (
                "rate = '1/s'\n[[inbound.rule]]\nname = 'b'\nports = [0]",
                "9:10: '0': '0' at character 1 is not a port",
                "80",
            ),
            ("rate = '1/s'\n[[inbound.rule]]\nports = [1]", "7:1: 'name' is missing here", "name = \"web\""),
            (
                "rate = '1/s'\n[[inbound.rule]]\nname = ' '\nports = [1]",
                "8:8: ' ' is no name for a rule",
                "letters",
            ),
            (
                "rate = '1/s'\n[[inbound.rule]]\nname = 'all'\nports = [1]",
                "8:8: 'all' means something else already",
                "taken",
            ),
            (
                "rate = '1/s'\n[inbound.reset]\nrate = '0/s'",
                "8:8: '0/s': '0' at character 1 is not a number above 0",
                "rate",
            ),
        ],
    );
}

#[test]
fn what_is_wrong_with_lists_and_numbers_is_pointed_at() {
    let lists = "[inbound]\ninterfaces = ['eth0']\n";
    let rule = "\n[[inbound.rule]]\nname = 'web'\nports = [80]\nrate = '1/s'\n";
    for (line, column, message) in [
        (
            "deny = ['192.0.2.1/24']",
            9,
            "'192.0.2.1/24': '192.0.2.1/24' at character 1 has bits set behind its prefix",
        ),
        ("deny = ['::/0']", 9, "'::/0': '::/0' at character 1 is two networks in one"),
        ("allow = ['10.0.0.1', '10.0.0.1/32']", 22, "'10.0.0.1' is on the list twice"),
        ("xdp_mode = 'atuo'", 12, "'atuo' is not known here"),
        ("max_sources = 7", 15, "7 is out of bounds"),
    ] {
        let fault = fault(format!("{lists}{line}{rule}").as_bytes());
        assert_eq!((fault.line, fault.column, fault.message.as_str()), (3, column, message));
    }
}

#[test]
fn what_is_wrong_with_destinations_is_pointed_at() {
    let rule = |rest: &str| format!("default = '1/s'\n[[outbound.rule]]\nname = 'a'\n{rest}");
    faults(
        SHOP,
        &[
            ("", "1:1: [outbound] has no limit: nothing would be limited", "default = \"10/s burst 10\""),
            ("default = 'x'", "3:11: 'x': 'x' at character 1 is no limit", "20/s burst 20"),
            ("default = { ratte = 3 }", "3:13: there is no key 'ratte' here", "did you mean 'rate'?"),
            ("default = { backoff = '3s' }", "3:11: the default limits nothing", "rate = \"10/s burst 10\""),
            ("default = '1/s, backoff 25h'", "3:11: '1/s, backoff 25h' is too long", "24 hours"),
            (
                "default = true",
                "3:11: here is the word true, and should be text in quotes, or a table",
                "quotes",
            ),
            (
                "default = '1/s'\nerrno = 'EAGAIN'",
                "4:9: 'EAGAIN' is what asynchronous programs take for a connection in progress: they would hang",
                "EDQUOT",
            ),
            (
                "default = '1/s'\nexempt = ['google.com']",
                "4:11: 'google.com': 'google.com' at character 1 is not a network",
                "write a network",
            ),
            (
                &rule("rate = '1/s'"),
                "4:1: 'hosts' is missing here",
                "hosts = [\"google.com\", \"*.google.com\"]",
            ),
            (&rule("hosts = []\nrate = '1/s'"), "6:9: rule 'a' lists no host", "does not mean all"),
            (
                &rule("hosts = ['a..b']\nrate = '1/s'"),
                "6:10: 'a..b': '' at character 3 should be a label: no two dots may meet",
                "write a name",
            ),
            (
                &rule("hosts = ['a.b', 'A.B.']\nrate = '1/s'"),
                "6:17: 'a.b' is listed twice in rule 'a'",
                "once",
            ),
            (&rule("hosts = ['a.b']\n"), "5:8: rule 'a' limits nothing", "rate = \"20/s burst 20\""),
            (
                &rule("hosts = ['a.b']\nbackoff = '3s'"),
                "5:8: rule 'a' limits nothing",
                "rate = \"20/s burst 20\"",
            ),
            (
                &rule("hosts = ['a.b']\nrate = '1/s'\nshare = 'hots'"),
                "8:9: 'hots' is not known here",
                "did you mean 'host'?",
            ),
            (
                &rule(
                    "hosts = ['a.b']\nrate = '1/s'\n[[outbound.rule]]\nname = 'b'\nhosts = ['a.b']\nrate = '1/s'",
                ),
                "10:10: 'a.b' is in rule 'a' and in rule 'b'",
                "in one rule only",
            ),
            (
                "default = '1/s'\nexempt = ['10.0.0.0/8']\n[[outbound.rule]]\nname = 'a'\nhosts = ['10.0.0.0/8']\nrate = '1/s'",
                "7:10: '10.0.0.0/8' is exempt, and a rule limits it",
                "leave out one",
            ),
        ],
    );
}

#[test]
fn what_is_no_text_is_pointed_at() {
    let found = fault(b"[inbound]\n# caf\xe9\n");
    assert_eq!((found.line, found.column), (2, 6));
    assert_eq!(found.message, "the byte 0xe9 is no part of a text in UTF-8");
}

#[test]
fn a_fault_shows_its_line_and_does_nothing_to_a_terminal() {
    let failure = Failure::from(Box::new(fault(format!("{WEB}\trate = '1/q' # é").as_bytes())));
    let lines: Vec<_> = failure.cause.lines().collect();
    assert_eq!(lines[1..], ["  6 |  rate = '1/q' # é", "    |         ^^^^^"]);
    let failure = Failure::from(Box::new(fault("x = \"\u{1b}[31m\"".as_bytes())));
    assert!(!failure.cause.contains('\u{1b}'), "{failure:?}");
    let long = fault(format!("{WEB}rate = '{}'", "9".repeat(100_000)).as_bytes());
    assert!(long.to_string().len() < 1000 && long.cure.len() < 1000, "{long:?}");
    let deep = fault(format!("a = {}{}", "[".repeat(5000), "]".repeat(5000)).as_bytes());
    assert_eq!(deep.message, "cannot recurse further; max recursion depth met");
}
