//! Files that are nearly right: whatever is done to one, it is read or refused with a place, as a whole.

use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../../../../dist/limiterctl.toml");

/// What stands in files, rightly or not.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"".to_owned()),
        Just("[".to_owned()),
        Just("[[".to_owned()),
        Just("= -1".to_owned()),
        Just("\n[inbound]\n".to_owned()),
        Just("0.0.0.0/0".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("\0".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\r".to_owned()),
        "\\PC{0,4}",
        "[a-z_]{1,8} = [\"'0-9a-z{}\\[\\]]{0,6}",
    ]
}

fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Err(fault) = parse("t.toml", bytes) else { return Ok(()) };
    let text = String::from_utf8_lossy(bytes);
    let lines = text.matches('\n').count() + 1;
    prop_assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault}");
    prop_assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault}");
    prop_assert!(!fault.cure.is_empty() && !fault.cure.contains('\n'), "{fault}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_changed_example(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, piece()), 1..4),
        commented in any::<bool>(),
    ) {
        let mut text = if commented { EXAMPLE.to_owned() } else { super::example::complete() };
        for (place, removed, piece) in edits {
            let begin = text.floor_char_boundary(place.index(text.len() + 1));
            let end = text.floor_char_boundary((begin + removed).min(text.len()));
            text.replace_range(begin..end.max(begin), &piece);
        }
        holds(text.as_bytes())?;
    }

    #[test]
    fn half_an_example(length in any::<prop::sample::Index>(), last in any::<u8>()) {
        let complete = super::example::complete();
        let mut bytes = complete.as_bytes()[..length.index(complete.len())].to_vec();
        holds(&bytes)?;
        bytes.push(last);
        holds(&bytes)?;
    }

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        holds(&bytes)?;
    }
}
