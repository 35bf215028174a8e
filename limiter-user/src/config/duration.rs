//! Durations: `60s`, `15min`, `1h 30m`.

use std::time::Duration;

use crate::failure::Failure;

/// Reads a duration, to the nanosecond.
///
/// # Errors
///
/// With what `humantime` makes of it, which names the place.
pub fn parse(text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text).map_err(|error| {
        Failure::new(format!("'{text}': {error}"), "write a duration as '60s', '15min' or '1h 30m'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse("60s").unwrap().as_secs(), 60);
        assert_eq!(parse("1h 30m").unwrap().as_secs(), 5400);
        assert!(parse("60").unwrap_err().cause.starts_with("'60': "));
        assert!(parse("soon").unwrap_err().cause.starts_with("'soon': "));
    }
}
