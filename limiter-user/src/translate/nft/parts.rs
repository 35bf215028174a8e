//! Lists, verdicts and flags of nft.

use crate::translate::rule::{Syn, Verdict};
use crate::translate::words::{LEAVE, Stop, Words};

/// A part that is not known.
pub fn no_equal(what: &str) -> Stop {
    Stop::no_equal(format!("'{what}' has no equal in limiterctl"), LEAVE)
}

/// One value, several with commas between, or the same in braces.
pub fn list(name: &str, words: &mut Words) -> Result<Vec<String>, Stop> {
    words.skip("==");
    if words.skip("!=") {
        return Err(no_equal(&format!("{name} !=")));
    }
    let in_braces = words.skip("{");
    let mut list = Vec::new();
    loop {
        if in_braces && !list.is_empty() && words.skip("}") {
            return Ok(list);
        }
        let mut value = words.value(name)?;
        if value == "@" || value.starts_with('@') {
            return Err(no_equal(&format!("{name} {value}")));
        }
        if words.skip("/") {
            value = format!("{value}/{}", words.value(name)?);
        }
        list.push(value);
        if !words.skip(",") && !in_braces {
            return Ok(list);
        }
    }
}

/// What `reject` answers with.
pub fn reject(words: &mut Words) -> Result<Verdict, Stop> {
    let with: Vec<_> = if words.skip("with") {
        [words.value("with")?, words.value("with")?].into()
    } else {
        ["icmp".into(), "port-unreachable".into()].into()
    };
    match (with[0].as_str(), with[1].as_str()) {
        ("tcp", "reset") => Ok(Verdict::Reset),
        _ => Err(Stop::no_equal(
            format!("reject answers with {} {}, which limiterctl does not send", with[0], with[1]),
            "say reject with tcp reset, which ends the connection at once, or drop",
        )),
    }
}

/// `& (fin | syn | rst | ack) == syn`, `syn / fin,syn,rst,ack`, `== syn`.
pub fn flags(words: &mut Words) -> Result<Syn, Stop> {
    let mut said = Vec::new();
    let belongs = |word: &str| {
        matches!(word, "&" | "and" | "|" | "or" | "(" | ")" | "==" | "!=" | "/" | ",") || is_flag(word)
    };
    while words.peek().is_some_and(belongs) {
        said.extend(words.take());
    }
    let (mut flags, mut signs): (Vec<&str>, Vec<&str>) =
        said.iter().map(String::as_str).partition(|word| is_flag(word));
    signs.retain(|sign| !["|", "or", ",", "(", ")"].contains(sign));
    let is_syn = match signs[..] {
        ["&" | "and", "=="] => flags.pop() == Some("syn"),
        ["/"] => flags.len() == 5 && flags.remove(0) == "syn",
        ["=="] if flags == ["syn"] => return Ok(Syn::Alone),
        _ => false,
    };
    flags.sort_unstable();
    if is_syn && flags == ["ack", "fin", "rst", "syn"] {
        return Ok(Syn::Plain);
    }
    Err(Stop::no_equal(
        format!("'tcp flags {}' is not what begins a connection", said.join(" ")),
        "say tcp flags & (fin|syn|rst|ack) == syn, or ct state new",
    ))
}

fn is_flag(word: &str) -> bool {
    ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"].contains(&word)
}

/// Whether a word is a verdict, or goes on elsewhere.
pub fn is_verdict(word: &str) -> bool {
    ["accept", "drop", "reject", "jump", "goto", "return", "continue", "queue", "log"].contains(&word)
}

/// The verdict of a rule that was not read to its end.
pub fn verdict_of(words: &[String]) -> Verdict {
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    if has(&["accept"]) {
        Verdict::Accept
    } else if has(&["jump", "goto", "return", "queue", "vmap"]) {
        Verdict::Jump
    } else {
        Verdict::Other
    }
}
