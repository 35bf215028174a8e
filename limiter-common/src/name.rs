//! DNS names as numbers: a keyed hash of lower-case labels, and what stands for a name in the maps.

/// The longest name in its wire form (RFC 1035, 3.1).
pub const MAX_NAME: usize = 255;
/// The most labels such a name can have.
pub const MAX_LABELS: usize = 127;
/// The longest label.
pub const MAX_LABEL: u8 = 63;

/// 2^31 - 1, a prime.
const P: u64 = (1 << 31) - 1;

/// What names are hashed with, random and secret: whoever knows it can make two names meet.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameSecret {
    /// For the bytes of a label.
    bytes: [u64; 2],
    /// For the labels of a name.
    labels: [u64; 2],
}

impl NameSecret {
    /// From random numbers.
    pub const fn new(random: [u64; 4]) -> Self {
        const fn point(random: u64) -> u64 {
            1 + random % (P - 1)
        }
        Self { bytes: [point(random[0]), point(random[1])], labels: [point(random[2]), point(random[3])] }
    }
}

/// The hash of a label while its bytes come in.
///
/// Two polynomials over the integers modulo 2^31 - 1, at secret points. For two labels of at most 63 bytes, chosen
/// without knowledge of the points, both agree with a probability below (64 / 2^31)^2 = 2^-50.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelHash([u64; 2]);

impl LabelHash {
    /// Of no bytes.
    pub const EMPTY: Self = Self([1, 1]);

    /// With one byte more, in lower case.
    #[inline(always)]
    #[must_use]
    pub const fn push(self, secret: &NameSecret, byte: u8) -> Self {
        let byte = byte as u64 + 1;
        Self([step(self.0[0], secret.bytes[0], byte), step(self.0[1], secret.bytes[1], byte)])
    }
}

/// The hash of a name's last labels, from the root leftwards, so that each suffix of a name has one on the way.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameHash([u64; 2]);

impl NameHash {
    /// Of the root.
    pub const ROOT: Self = Self([1, 1]);

    /// With one label more, to the left.
    #[inline(always)]
    #[must_use]
    pub const fn push(self, secret: &NameSecret, label: LabelHash) -> Self {
        Self([step(self.0[0], secret.labels[0], label.0[0]), step(self.0[1], secret.labels[1], label.0[1])])
    }

    /// Of labels without capital letters, written left to right.
    pub fn of<'a>(
        secret: &NameSecret,
        labels: impl IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    ) -> Self {
        labels.into_iter().rev().fold(Self::ROOT, |name, label| {
            name.push(secret, label.iter().fold(LabelHash::EMPTY, |label, byte| label.push(secret, *byte)))
        })
    }

    /// All of it in one number of 62 bits.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0[0] << 31 | self.0[1]
    }

    /// How the table of rules calls this very name.
    #[inline(always)]
    pub const fn exact_key(self) -> u64 {
        self.number()
    }

    /// How the table of rules calls everything that ends in a dot and this name.
    #[inline(always)]
    pub const fn wildcard_key(self) -> u64 {
        1 << 63 | self.number()
    }
}

/// `value * point + addend`, modulo 2^31 - 1.
#[inline(always)]
const fn step(value: u64, point: u64, addend: u64) -> u64 {
    let sum = value * point + addend;
    let sum = (sum & P) + (sum >> 31);
    let sum = (sum & P) + (sum >> 31);
    if sum >= P { sum - P } else { sum }
}

/// A name and its rule in one word, so that an address's names change by compare-and-swap: 16 bits of rule number,
/// 48 of hash. Never 0, since rule numbers are not.
///
/// Names under different rules never meet. Of a million names under one rule, some two share their number with a
/// probability of 1 in 500; those are then held to one limit together.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameId(u64);

impl NameId {
    const RULE: u32 = 48;

    /// The name with this hash, under rule number `rule`.
    #[inline(always)]
    pub const fn new(rule: u32, hash: NameHash) -> Self {
        Self((rule as u64) << Self::RULE | mix(hash.number()) & ((1 << Self::RULE) - 1))
    }

    /// As it lies in memory; `None` where there is none.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// As it lies in memory.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The same name under another rule.
    #[must_use]
    pub const fn under(self, rule: u32) -> Self {
        Self((rule as u64) << Self::RULE | self.0 & ((1 << Self::RULE) - 1))
    }

    /// The number of its rule.
    #[inline(always)]
    pub const fn rule(self) -> u32 {
        (self.0 >> Self::RULE) as u32
    }
}

/// The finaliser of `MurmurHash3`: every bit of the hash has a part in the 48 that are kept.
#[inline(always)]
const fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::format;

    use super::*;

    const SECRET: NameSecret = NameSecret::new([0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 77, u64::MAX]);

    fn hash(name: &str) -> NameHash {
        NameHash::of(&SECRET, name.split('.').map(str::as_bytes).collect::<std::vec::Vec<_>>())
    }

    #[test]
    fn a_suffix_has_its_hash_on_the_way() {
        let com =
            NameHash::ROOT.push(&SECRET, "com".bytes().fold(LabelHash::EMPTY, |l, b| l.push(&SECRET, b)));
        assert_eq!(com, hash("com"));
        let google = "google".bytes().fold(LabelHash::EMPTY, |l, b| l.push(&SECRET, b));
        assert_eq!(com.push(&SECRET, google), hash("google.com"));
    }

    #[test]
    fn where_a_label_ends_is_part_of_the_name() {
        let all = ["google.com", "goog.le.com", "googlecom", "com.google", "g.oogle.com", "evilgoogle.com"];
        assert_eq!(all.map(hash).map(NameHash::number).into_iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn two_hundred_thousand_names_are_told_apart() {
        let ids: HashSet<_> = (0..200_000).map(|i| NameId::new(1, hash(&format!("n{i}.test")))).collect();
        assert_eq!(ids.len(), 200_000);
    }

    #[test]
    fn an_id_keeps_its_rule_and_is_never_nothing() {
        let id = NameId::new(65_535, hash("google.com"));
        assert_eq!(id.rule(), 65_535);
        assert_eq!(NameId::from_bits(id.bits()), Some(id));
        assert_eq!(NameId::from_bits(0), None);
        assert_ne!(NameId::new(1, hash("a")), NameId::new(2, hash("a")));
    }
}
