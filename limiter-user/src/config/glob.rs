//! Names with wildcards, as of interfaces: `*` stands for any text, `?` for one character.

/// Whether it stands for names, and not for itself alone.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether a pattern stands for this name.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and how much of the name it has taken. The last one alone ever needs to take more.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                at += 1;
                star = Some((at, read));
            }
            (Some(b'?'), _) => (at, read) = (at + 1, read + 1),
            (Some(byte), _) if *byte == name[read] => (at, read) = (at + 1, read + 1),
            (_, Some((behind, taken))) => {
                (at, read) = (behind, taken + 1);
                star = Some((behind, taken + 1));
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_names() {
        for (pattern, name, is_meant) in [
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth*", "veth0", false),
            ("eth?", "eth10", false),
            ("*", "wlan0", true),
            ("*a*b", "xaabab", true),
            ("*a*b", "xaaba", false),
            ("e?h*0", "eth10", true),
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth[0]", "eth0", false),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), is_meant, "{pattern} {name}");
        }
        assert!(is_pattern("eth*") && is_pattern("eth?") && !is_pattern("eth0"));
    }
}
