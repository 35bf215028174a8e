//! Targets, flags and chains of iptables.

use crate::translate::rule::{Hook, Syn, Verdict};
use crate::translate::words::Stop;

/// Targets after which the next rule is asked.
const GOES_ON: [&str; 8] = ["LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "TRACE", "TCPMSS", "AUDIT"];

/// What happens to what a rule matches, by its target.
pub fn verdict(target: Option<&str>, reject_with: Option<&str>, table: &str) -> Result<Verdict, Stop> {
    match target {
        None => Ok(Verdict::Next),
        Some("ACCEPT") => Ok(Verdict::Accept),
        Some("DROP") => Ok(Verdict::Drop),
        Some("REJECT") if table != "filter" => Err(Stop::no_equal(
            format!("iptables has no REJECT in table {table}"),
            "say -j DROP, or put the rule into chain INPUT",
        )),
        Some("REJECT") => match reject_with {
            Some("tcp-reset") => Ok(Verdict::Reset),
            with => Err(icmp(with.unwrap_or("an ICMP message, its default"))),
        },
        Some(target) => Err(Stop::no_equal(
            format!("'-j {target}' has no equal in limiterctl"),
            "say -j REJECT --reject-with tcp-reset, or -j DROP",
        )),
    }
}

fn icmp(with: &str) -> Stop {
    Stop::no_equal(
        format!("REJECT answers with {with}, which limiterctl does not send"),
        "say --reject-with tcp-reset, which ends the connection at once, or -j DROP",
    )
}

/// The target of a rule that was not read to its end.
pub fn verdict_of(words: &[String]) -> Verdict {
    let is_jump = |word: &str| ["-j", "--jump", "-g", "--goto"].contains(&word);
    let target = words.windows(2).find(|pair| is_jump(&pair[0])).map(|pair| pair[1].as_str());
    match target {
        None => Verdict::Next,
        Some("ACCEPT") => Verdict::Accept,
        Some("DROP" | "REJECT") => Verdict::Other,
        Some(target) if GOES_ON.contains(&target) => Verdict::Other,
        Some(_) => Verdict::Jump,
    }
}

/// A mask of flags and those of it that are set.
pub fn flags(mask: &str, set: &str) -> Result<Syn, Stop> {
    let mut names: Vec<_> = mask.split(',').map(str::to_uppercase).collect();
    names.sort_unstable();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    match (&names[..], set.to_uppercase().as_str()) {
        (["ACK", "FIN", "RST", "SYN"], "SYN") => Ok(Syn::Plain),
        (["ALL"] | ["ACK", "FIN", "PSH", "RST", "SYN", "URG"], "SYN") => Ok(Syn::Alone),
        _ => Err(Stop::no_equal(
            format!("'--tcp-flags {mask} {set}' is not what begins a connection"),
            "say --syn, or --tcp-flags FIN,SYN,RST,ACK SYN",
        )),
    }
}

/// Which packets go through a chain.
pub fn hook(chain: &str) -> Hook {
    match chain {
        "INPUT" => Hook::Input,
        "PREROUTING" => Hook::Prerouting,
        "FORWARD" => Hook::Forward,
        "OUTPUT" | "POSTROUTING" => Hook::Output,
        _ => Hook::Unknown,
    }
}
