//! Families of series, as the library wants them.

use std::fmt::Display;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Names of labels with their values.
pub type Labels = Vec<(&'static str, String)>;

/// Bytes of the longest value of a label that an administrator has written.
const LONGEST: usize = 128;

/// All families of a page. One without a series is left out.
#[derive(Debug, Default)]
pub struct Series(Registry);

impl Series {
    /// Numbers that only grow; where two have the same labels, their sum. The page says `_total` behind the
    /// name.
    pub fn counter(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in series {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    /// The same for times; the page says `_seconds_total` behind the name.
    pub fn seconds(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (labels, value) in series {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register_with_unit(name, help, Unit::Seconds, family);
    }

    /// Numbers that go up and down.
    pub fn gauge(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge<u64, AtomicU64>>::default();
        for (labels, value) in series {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    /// Words, in labels of series that are always 1. The page says `_info` behind the name.
    pub fn info(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = Labels>) {
        self.gauge(&format!("{name}_info"), help, series.into_iter().map(|labels| (labels, 1)));
    }

    /// What there is.
    pub const fn registry(&self) -> &Registry {
        &self.0
    }
}

/// A value for a label: the word, or what there is room for and the number, by which it can be told from
/// others that begin like it.
pub fn label(word: &str, number: impl Display) -> String {
    if word.len() <= LONGEST {
        return word.to_owned();
    }
    let number = format!("… #{number}");
    format!("{}{number}", &word[..word.floor_char_boundary(LONGEST - number.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_word_is_cut_and_stays_unlike_others() {
        assert_eq!(label("google.com", 3), "google.com");
        let long = "ä".repeat(100);
        let (one, other) = (label(&long, 3), label(&long, 4));
        assert!(one.len() <= LONGEST && one.ends_with("ä… #3"), "{one}");
        assert_ne!(one, other);
    }
}
