//! Splits a rule of nft into words and signs.

use crate::failure::Failure;

/// Signs of one character that stand for themselves.
const SIGNS: &str = "{}()|&,/;";

/// Words and signs, in their order.
///
/// # Errors
///
/// Where a quote does not end.
pub fn split(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let Some(end) = rest[1..].find('"') else {
                    return Err(Failure::new(
                        format!("a quote does not end: {rest}"),
                        "write the whole rule, and each quote twice",
                    ));
                };
                words.push(rest[1..=end].to_owned());
                rest = rest[end + 2..].trim_start();
                continue;
            }
            // What a shell would have taken away.
            '\\' => {
                rest = &rest[1..];
                continue;
            }
            // nft list --handle says the number of a rule behind it.
            '#' => break,
            '=' | '!' if rest[1..].starts_with('=') => 2,
            sign if SIGNS.contains(sign) => 1,
            _ => rest[first.len_utf8()..].find(ends_word).map_or(rest.len(), |end| end + first.len_utf8()),
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || SIGNS.contains(c) || matches!(c, '"' | '\\' | '=' | '!')
}
