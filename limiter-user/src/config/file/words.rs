//! What the TOML parser and serde have to say, in the words of this program.

use super::at::Other as _;
use super::fault::Wrong;
use super::shape;

/// How alike two words are, from 0 to 1, for the one to be suggested in place of the other.
const ALIKE: f64 = 0.7;
/// What serde expects, in its words and in ours, and how one writes that.
const EXPECTED: [(&str, &str, &str); 7] = [
    ("a string", "text in quotes", "put it in quotes: \"…\""),
    ("i64", "a whole number", "write a whole number, without quotes"),
    ("a boolean", "true or false", "write true or false, without quotes"),
    ("a sequence", "a list", "put it in brackets, also where it is one: [\"…\"]"),
    ("a table", "a table", "write it as a table: a header in brackets, and a line for each key"),
    (i64::EITHER, i64::EITHER, "put it in quotes: \"…\""),
    (shape::Limits::EITHER, shape::Limits::EITHER, "put it in quotes: \"…\""),
];
/// What must be said, and how.
const NEEDED: [(&str, &str); 6] = [
    ("interfaces", "interfaces = [\"eth0\"]"),
    ("name", "name = \"web\""),
    ("ports", "ports = [\"80\", \"443\"]"),
    ("cgroups", "cgroups = [\"shop.service\"]"),
    ("group", "group = \"shop\""),
    ("hosts", "hosts = [\"google.com\", \"*.google.com\"]"),
];
/// What is about one run of the daemon, and so has a flag of `attach` and no key.
const FLAGS: [&str; 4] = ["for", "fresh", "keep", "metrics"];
/// The key as which the parser hands over a date or a time.
const DATE: &str = "$__toml_private_datetime";
const SYNTAX: &str =
    "a line is 'key = value', text stands in quotes, the name of a table in brackets; see https://toml.io";

/// An error of the parser or of serde.
pub fn wrong(error: &toml::de::Error) -> Wrong {
    let span = error.span().unwrap_or_default();
    let message = error.message();
    let (cause, cure) = unknown_key(message)
        .or_else(|| missing_key(message))
        .or_else(|| other_type(message))
        .unwrap_or_else(|| (message.to_owned(), SYNTAX.into()));
    Wrong::new(span, cause, cure)
}

/// The beginning of a cure where one of the known words is nearly this one; empty where none is.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // Nobody mistypes so long a word, and comparing takes the product of both lengths.
    if word.len() > 64 {
        return String::new();
    }
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let likeness = |known: &'a str| (strsim::jaro_winkler(&plain(word), &plain(known)), known);
    let best = known.into_iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, known)) if likeness >= ALIKE => format!("did you mean '{known}'? "),
        _ => String::new(),
    }
}

/// "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(String, String)> {
    let (word, known) = message.strip_prefix("unknown field `")?.rsplit_once("`, expected ")?;
    if word == DATE {
        return Some((
            "here is a date or a time".into(),
            "put it in quotes where it is meant as text".into(),
        ));
    }
    let known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
    let begin = if FLAGS.contains(&word) {
        format!("give it as a flag: limiterctl attach --{word}; ")
    } else {
        suggestion(word, known.iter().copied())
    };
    let cure = format!("{begin}known here: {}", known.join(", "));
    Some((format!("there is no key '{word}' here"), cure))
}

/// "missing field `a`".
fn missing_key(message: &str) -> Option<(String, String)> {
    let key = message.strip_prefix("missing field `")?.strip_suffix('`')?;
    let (_, example) = NEEDED.into_iter().find(|(needed, _)| *needed == key).unwrap_or((key, key));
    Some((format!("'{key}' is missing here"), format!("add a line such as: {example}")))
}

/// "invalid type: integer `5`, expected a string".
fn other_type(message: &str) -> Option<(String, String)> {
    let (found, expected) = message.strip_prefix("invalid type: ")?.rsplit_once(", expected ")?;
    let found = match found {
        "map" => "a table".into(),
        "sequence" => "a list".into(),
        found => plain(found),
    };
    let known = EXPECTED.into_iter().find(|(serde, ..)| *serde == expected);
    let (expected, cure) =
        known.map_or((expected, "see limiterctl check --schema"), |(_, ours, cure)| (ours, cure));
    Some((format!("here is {found}, and should be {expected}"), cure.into()))
}

/// A value in words: "integer `5`" is the number 5.
fn plain(found: &str) -> String {
    let (kind, value) = found.split_once(['`', '"']).unwrap_or((found, ""));
    let value = value.trim_end_matches(" as i128").trim_end_matches(" as u128").trim_end_matches(['`', '"']);
    match kind.trim() {
        "integer" | "floating point" => format!("the number {value}"),
        "boolean" => format!("the word {value}"),
        "string" => format!("the text \"{value}\""),
        _ => found.replace('`', ""),
    }
}
