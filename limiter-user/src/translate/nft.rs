//! Reads one rule of nft: a command, or a line of what `nft list ruleset` prints.

mod lexer;
mod limits;
mod parts;

pub use lexer::split;
use parts::{flags, is_verdict, list, no_equal, reject, verdict_of};

use crate::failure::Failure;

use super::rule::{Chain, Hook, Matches, PortRanges, Rule, Sources, Verdict};
use super::values;
use super::words::{LEAVE, Stop, Words, once};

/// What begins a rule that stands without its chain.
const BEGINNINGS: [&str; 16] = [
    "tcp", "udp", "th", "meta", "ip", "ip6", "iif", "iifname", "ct", "add", "update", "meter", "limit",
    "counter", "icmp", "icmpv6",
];

/// Whether these words may be a rule without its chain.
pub fn is_bare(words: &[String]) -> bool {
    words.first().is_some_and(|word| BEGINNINGS.contains(&word.as_str()) || is_verdict(word))
}

/// Whether these words add a rule, with its chain.
pub fn is_command(words: &[String]) -> bool {
    matches!(words, [verb, rule, ..] if ["add", "insert"].contains(&verb.as_str()) && rule == "rule")
}

/// Reads `add rule inet filter input …`.
///
/// # Errors
///
/// Where it is none. A rule with something that has no equal is a rule that says so.
pub fn command(place: &str, words: &[String]) -> Result<Rule, Failure> {
    let families = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
    let (family, rest) = match words.get(2..).unwrap_or_default() {
        [family, rest @ ..] if families.contains(&family.as_str()) => (family.as_str(), rest),
        rest => ("ip", rest),
    };
    let [table, chain, body @ ..] = rest else {
        return Err(Failure::new(
            "an nft rule without its table and chain",
            "write it as: nft add rule inet filter input tcp dport 80 …",
        ));
    };
    let hook = match chain.to_lowercase().as_str() {
        "input" => Hook::Input,
        "prerouting" => Hook::Prerouting,
        "forward" => Hook::Forward,
        "output" | "postrouting" => Hook::Output,
        _ => Hook::Unknown,
    };
    let chain = Chain { name: format!("nft {family} {table} {chain}"), hook };
    let mut rule = body_of(place, body, family, chain)?;
    rule.position = (words[0] == "insert").then_some(0);
    Ok(rule)
}

/// Reads what stands behind the chain.
///
/// # Errors
///
/// As [`command`].
pub fn body_of(place: &str, body: &[String], family: &str, chain: Chain) -> Result<Rule, Failure> {
    let has = |a: &str, b: &str| body.windows(2).any(|pair| pair[0] == a && pair[1] == b);
    let mut rule = Rule {
        place: place.into(),
        chain,
        position: None,
        matches: Matches {
            v4: matches!(family, "ip" | "inet"),
            v6: matches!(family, "ip6" | "inet"),
            ..Matches::default()
        },
        limits: has("limit", "rate") || has("limit", "name") || has("ct", "count"),
        limiter: None,
        verdict: Verdict::default(),
        notes: Vec::new(),
        refusal: None,
    };
    let mut words = Words::new(body.to_vec());
    let result = Reader { rule: &mut rule, verdict: None }.read(&mut words);
    match result {
        Ok(()) => {}
        Err(Stop::NoEqual(failure)) => {
            rule.refusal = Some(failure);
            rule.verdict = verdict_of(body);
        }
        Err(Stop::Malformed(failure)) => return Err(failure),
    }
    Ok(rule)
}

struct Reader<'a> {
    rule: &'a mut Rule,
    verdict: Option<Verdict>,
}

impl Reader<'_> {
    fn read(&mut self, words: &mut Words) -> Result<(), Stop> {
        if !self.rule.matches.v4 && !self.rule.matches.v6 {
            return Err(Stop::no_equal("it is in a table for neither IPv4 nor IPv6", LEAVE));
        }
        while let Some(word) = words.take() {
            let is_match = ["tcp", "th", "meta", "ip", "ip6", "iif", "iifname"].contains(&word.as_str())
                || word == "ct" && words.peek() != Some("count");
            if self.verdict.is_some() && word != "comment" {
                return Err(Stop::no_equal(format!("'{word}' stands behind the verdict"), "write one rule"));
            }
            if is_match && self.rule.limiter.is_some() {
                return Err(Stop::no_equal(
                    format!("the limit stands before '{word}', and so counts what that leaves out"),
                    format!("write the limit behind '{word} …'"),
                ));
            }
            self.statement(&word, words)?;
        }
        self.rule.verdict = self.verdict.unwrap_or_default();
        Ok(())
    }

    fn statement(&mut self, word: &str, words: &mut Words) -> Result<(), Stop> {
        match word {
            "tcp" | "th" => self.tcp(word, words)?,
            "meta" => match words.value(word)?.as_str() {
                "l4proto" => self.protocol("meta l4proto", words)?,
                "nfproto" => {
                    words.skip("==");
                    match words.value("meta nfproto")?.as_str() {
                        "ipv4" => self.only_v4("meta nfproto ipv4")?,
                        "ipv6" => self.only_v6("meta nfproto ipv6")?,
                        other => return Err(no_equal(&format!("meta nfproto {other}"))),
                    }
                }
                name @ ("iif" | "iifname") => self.interfaces(name, words)?,
                other => return Err(no_equal(&format!("meta {other}"))),
            },
            "ip" | "ip6" => self.ip(word, words)?,
            "iif" | "iifname" => self.interfaces(word, words)?,
            "ct" => match words.value(word)?.as_str() {
                "state" => {
                    let mut states = list("ct state", words)?;
                    states.sort_unstable();
                    once(&mut self.rule.matches.states, "ct state", states)?;
                }
                "count" => {
                    return Err(Stop::no_equal(
                        "'ct count' outside of a set counts the connections of all sources together",
                        "count by source: add @connlimit { ip saddr ct count over 15 }",
                    ));
                }
                other => return Err(no_equal(&format!("ct {other}"))),
            },
            "add" | "update" | "meter" => {
                let limiter = limits::of_set(word, words, self.rule)?;
                self.limit(limiter)?;
            }
            "limit" => {
                let limiter = limits::rate(words, None, false)?;
                self.limit(limiter)?;
            }
            "counter" => {
                for name in ["packets", "bytes"] {
                    if words.skip(name) {
                        words.number(name)?;
                    }
                }
            }
            "comment" => drop(words.value(word)?),
            "accept" => self.verdict = Some(Verdict::Accept),
            "drop" => self.verdict = Some(Verdict::Drop),
            "reject" => self.verdict = Some(reject(words)?),
            _ => {
                if ["udp", "icmp", "icmpv6"].contains(&word) {
                    self.rule.matches.tcp = Some(false);
                }
                return Err(no_equal(word));
            }
        }
        Ok(())
    }

    fn limit(&mut self, limiter: super::rule::Limiter) -> Result<(), Stop> {
        match self.rule.limiter.replace(limiter) {
            None => Ok(()),
            Some(_) => Err(Stop::no_equal(
                "two limits in one rule hold only together",
                "write each limit in a rule of its own",
            )),
        }
    }

    fn tcp(&mut self, word: &str, words: &mut Words) -> Result<(), Stop> {
        if word == "tcp" {
            self.is_tcp(true)?;
        }
        match words.value(word)?.as_str() {
            "dport" => {
                let name = format!("{word} dport");
                let ranges = list(&name, words)?;
                let ranges =
                    ranges.iter().map(|part| values::ports(&name, part, '-')).collect::<Result<_, _>>()?;
                let ports = PortRanges::new(ranges);
                if ports.is_empty() {
                    return Err(Stop::no_equal(
                        format!("'{name}' names no port"),
                        "write ports from 1 to 65535",
                    ));
                }
                once(&mut self.rule.matches.ports, &name, ports)
            }
            "flags" if word == "tcp" => once(&mut self.rule.matches.syn, "tcp flags", flags(words)?),
            other => Err(no_equal(&format!("{word} {other}"))),
        }
    }

    fn ip(&mut self, word: &str, words: &mut Words) -> Result<(), Stop> {
        match (word, words.value(word)?.as_str()) {
            (_, "saddr") => {
                if word == "ip" {
                    self.only_v4("ip saddr")?;
                } else {
                    self.only_v6("ip6 saddr")?;
                }
                let is_not = words.skip("!=");
                let name = format!("{word} saddr");
                let networks = list(&name, words)?;
                let networks: Vec<_> =
                    networks.iter().map(|part| values::network(&name, part)).collect::<Result<_, _>>()?;
                if self.rule.matches.sources != Sources::All {
                    return Err(Stop::no_equal(format!("'{name}' is said twice"), LEAVE));
                }
                self.rule.matches.sources =
                    if is_not { Sources::Except(networks) } else { Sources::Only(networks) };
                Ok(())
            }
            ("ip", "protocol") => {
                self.only_v4("ip protocol")?;
                self.protocol("ip protocol", words)
            }
            ("ip6", "nexthdr") => {
                self.only_v6("ip6 nexthdr")?;
                self.protocol("ip6 nexthdr", words)
            }
            (_, other) => Err(no_equal(&format!("{word} {other}"))),
        }
    }

    fn protocol(&mut self, name: &str, words: &mut Words) -> Result<(), Stop> {
        let protocols = list(name, words)?;
        match &protocols[..] {
            [one] => self.is_tcp(one == "tcp" || one == "6"),
            _ => Err(no_equal(&format!("{name} {{ {} }}", protocols.join(", ")))),
        }
    }

    fn is_tcp(&mut self, tcp: bool) -> Result<(), Stop> {
        match self.rule.matches.tcp.replace(tcp) {
            Some(before) if before != tcp => Err(Stop::malformed("two protocols in one rule", "write one")),
            _ => Ok(()),
        }
    }

    fn interfaces(&mut self, name: &str, words: &mut Words) -> Result<(), Stop> {
        let is_not = words.skip("!=");
        let names = list(name, words)?;
        if is_not && names == ["lo"] {
            return Ok(());
        }
        if is_not || names.iter().any(|name| name.ends_with('*')) {
            return Err(Stop::no_equal(
                format!("'{name}' with '!=' or '*' is no list of interfaces"),
                "name each interface, or leave it out and say --interface eth0,eth1",
            ));
        }
        once(&mut self.rule.matches.interfaces, name, names)
    }

    fn only_v4(&mut self, name: &str) -> Result<(), Stop> {
        self.rule.matches.v6 = false;
        self.rule.matches.v4.then_some(()).ok_or_else(|| never(name))
    }

    fn only_v6(&mut self, name: &str) -> Result<(), Stop> {
        self.rule.matches.v4 = false;
        self.rule.matches.v6.then_some(()).ok_or_else(|| never(name))
    }
}

fn never(name: &str) -> Stop {
    Stop::malformed(format!("'{name}' in a rule that is for the other IP version"), "write one of both")
}
