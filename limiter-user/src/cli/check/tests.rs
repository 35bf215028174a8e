//! What a file is said to do, and what it is warned of.

use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../../../dist/limiterctl.toml");
const PORTS: &[&str] = &["[80]", "[81]", "[443, '70-90']", "['1-65535']"];
const INBOUND: [&str; 9] = [
    "rate = '900/min'",
    "total_rate = '1/day burst 1'",
    "strangers_rate = '10000000/s'",
    "charge = 'handshake'",
    "max_open = 3",
    "backoff = '24h'",
    "action = 'drop'",
    "source_prefix = '1,1'",
    "monitor = true",
];
const HOSTS: &[&str] =
    &["['google.com']", "['*.google.com', 'a.b']", "['10.0.0.0/8']", "['GOOGLE.com.', '10.0.0.1']"];
const OUTBOUND: [&str; 4] =
    ["default = '10/s'", "per_ip = '5/s'", "backoff = '1s'", "exempt = ['10.0.0.0/8']"];
const HOST: [&str; 6] = [
    "rate = '20/s'",
    "lookups = '1/h'",
    "packets = '3/s'",
    "bytes = '5 mbytes/s'",
    "backoff = '24h'",
    "share = 'host'",
];

fn config(text: &str) -> Config {
    file::parse("t.toml", text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}"))
}

#[test]
fn the_example_is_said_in_words_and_attach_accepts_it() {
    let says = words::of(&accepted(config(EXAMPLE)).expect("attach accepts it"));
    assert_eq!(
        says,
        [
            "web: ports 80, 443, 8000-8100 on eth0. Each source (IPv4 /32, IPv6 /64) may open 900 connections a minute, \
             60 at once; what is beyond that gets a TCP reset.",
            "On eth0 it runs in the driver where it can run there, else in the kernel's stack, and tells 1048576 sources \
             apart. Resets: 100 resets a second, 100 at once to one source, 10000 resets a second, 10000 at once to all \
             together; beyond that a refused connection meets silence.",
            "google: google.com, *.google.com, together, may get 20 connections a second, 20 at once; once over that, it \
             is refused for 15s.",
            "default: each name that no rule lists, and each address without a name, may get 10 connections a second, 10 \
             at once; once over that, it is refused for 15s.",
            "This holds for the processes of shop.service; a refused connect() gets EDQUOT. Never limited, unless a rule \
             lists it: 10.0.0.0/8, loopback and the name servers.",
            "Group shop may ask why a destination is refused, on /run/limiterctl/app.sock.",
        ]
    );
    assert_eq!(warnings::of_text(&config(EXAMPLE)), []);
}

#[test]
fn everything_a_rule_can_say_is_said() {
    let says = words::of(&config(
        "[inbound]\ninterfaces = ['eth0', 'eth1']\nallow = ['192.0.2.1']\ndeny = ['203.0.113.0/24']\n[[inbound.rule]]\n\
         name = 'a'\nports = [80]\nrate = '5/h'\ncharge = 'handshake'\nmax_open = 15\ntotal_rate = '20/s'\n\
         strangers_rate = '9/s burst 30'\nbackoff = '90s'\naction = 'drop'\n[outbound]\ncgroups = ['a.service']\n\
         per_ip = '50/s'\nmonitor = true\n[[outbound.rule]]\nname = 'b'\nhosts = ['a.b', 'c.d']\nshare = 'host'\n\
         bytes = '5 mbytes/second'\nlookups = '7/s'\n",
    ));
    assert_eq!(
        says[0],
        "a: port 80 on eth0, eth1. Each source (IPv4 /32, IPv6 /64) may complete 5 handshakes an hour, 5 at once, and \
         hold 15 connections open. All sources together may open 20 connections a second, 20 at once. All that have not \
         completed a handshake within the last hour may together open 9 connections a second, 30 at once; what is beyond \
         that meets silence, and so does all of a source for 1m 30s once it is over its rate."
    );
    assert!(says[1].ends_with("Never limited: 192.0.2.1. Always refused: 203.0.113.0/24."), "{says:?}");
    assert_eq!(
        says[2],
        "b: a.b, c.d, each name and address by itself, may get 7 DNS queries a second, 7 at once; 5 mbytes a second, 5 \
         mbytes at once; what is beyond that is refused."
    );
    assert_eq!(says[3], "default: what no rule lists is not limited by its name.");
    assert!(
        says[4]
            .starts_with("per-ip: each address besides, whatever its names, may get 50 connections a second")
    );
    assert!(says[5].contains("what would be refused is let through"), "{says:?}");
}

#[test]
fn what_may_be_meant_otherwise_is_warned_of() {
    let text = "[inbound]\ninterfaces = ['eth0']\ndeny = ['0.0.0.0/0']\n[[inbound.rule]]\nname = 'a'\nports = ['20-30']\n\
                rate = '100/s burst 5'\nmonitor = true\n[outbound]\ncgroups = ['a.service']\nexempt = ['2000::/3']\n\
                default = '20/s burst 2'\nmonitor = true\n";
    let warnings = warnings::of_text(&config(text));
    let found: Vec<_> = warnings.iter().map(|w| (w.line, w.column, w.message.as_str())).collect();
    assert_eq!(
        found,
        [
            (7, 8, "the burst of '100/second burst 5' is less than its rate allows in one second"),
            (8, 11, "rule 'a' refuses nothing"),
            (6, 9, "rule 'a' holds at port 22, which is that of SSH"),
            (3, 9, "'0.0.0.0/0' refuses most of the internet"),
            (12, 11, "the burst of '20/second burst 2' is less than its rate allows in one second"),
            (13, 11, "[outbound] refuses nothing"),
            (11, 11, "'2000::/3' keeps most of the internet out of every limit"),
        ]
    );
    let alone = "[inbound]\ninterfaces = ['eth0']\n[[inbound.rule]]\nname = 'a'\nports = [80]\nrate = '100/s'\n[app]\n\
                 group = 'shop'\n";
    let warnings = warnings::of_text(&config(alone));
    assert_eq!((warnings[0].line, warnings[0].column), (8, 9));
    assert_eq!(warnings[0].message, "[app] is asked about destinations, and nothing limits these");
    let both = "[inbound]\ninterfaces = ['eth0']\nallow = ['10.0.0.1']\ndeny = ['10.0.0.1']\n[[inbound.rule]]\nname = 'a'\n\
                ports = [80]\nrate = '100/s'\n";
    assert_eq!(warnings::of_text(&config(both))[0].message, "'10.0.0.1' is allowed as well, and that wins");
}

/// Those of these lines whose bit is set.
fn chosen(lines: &[&str], bits: u16) -> String {
    let chosen = (0..).zip(lines).filter(|(place, _)| bits >> place & 1 == 1);
    chosen.fold(String::new(), |text, (_, line)| text + line + "\n")
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(values)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// So whatever a file is refused for has a place in it.
    #[test]
    fn what_is_right_by_itself_is_right_for_the_policy(
        ports in [PORTS, PORTS].map(one_of),
        inbound in any::<[u16; 2]>(),
        hosts in [HOSTS, HOSTS].map(one_of),
        outbound in any::<[u16; 3]>(),
    ) {
        let mut text = "[inbound]\ninterfaces = ['eth0']\n".to_owned();
        for (name, (ports, bits)) in ["a", "b"].into_iter().zip(ports.into_iter().zip(inbound)) {
            text += &["[[inbound.rule]]\nname = '", name, "'\nports = ", ports, "\n"].concat();
            text += &chosen(&INBOUND, bits);
        }
        text += "[outbound]\ncgroups = ['a.service']\n";
        text += &chosen(&OUTBOUND, outbound[2]);
        for (name, (hosts, bits)) in ["c", "d"].into_iter().zip(hosts.into_iter().zip(outbound)) {
            text += &["[[outbound.rule]]\nname = '", name, "'\nhosts = ", hosts, "\n"].concat();
            text += &chosen(&HOST, bits);
        }
        if let Ok(config) = file::parse("t.toml", text.as_bytes()) {
            let failure = order::of(&config).and_then(|order| order.policy.entries()).err();
            prop_assert_eq!(failure, None, "{}", text);
        }
    }
}
