//! Who is charged: an address, masked to its rule's prefix, and where its state lies.

/// An IPv6 address, or an IPv4 address in the form `::ffff:a.b.c.d`: sixteen bytes in network order.
///
/// Kept as two words, because the BPF compiler turns arrays of bytes into as many loads and stores.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Address([u64; 2]);

const _: () = assert!(size_of::<Address>() == 16);

impl Address {
    /// From its bytes.
    #[inline(always)]
    pub const fn from_v6(b: [u8; 16]) -> Self {
        Self([
            u64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
            u64::from_ne_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]),
        ])
    }

    /// The IPv4-mapped form.
    #[inline(always)]
    pub const fn from_v4(b: [u8; 4]) -> Self {
        Self([0, u64::from_ne_bytes([0, 0, 0xff, 0xff, b[0], b[1], b[2], b[3]])])
    }

    /// From its value as four numbers, the most significant first.
    #[inline(always)]
    pub const fn from_words(w: [u32; 4]) -> Self {
        let (high, low) = ((w[0] as u64) << 32 | w[1] as u64, (w[2] as u64) << 32 | w[3] as u64);
        Self([high.to_be(), low.to_be()])
    }

    /// From its upper and lower half, in memory order.
    #[inline(always)]
    pub const fn from_halves(halves: [u64; 2]) -> Self {
        Self(halves)
    }

    /// Its upper and lower half, in memory order: good for keys and hashes.
    #[inline(always)]
    pub const fn halves(&self) -> [u64; 2] {
        self.0
    }

    /// A mask that keeps the first `length` bits. For an IPv4 prefix, add 96.
    pub const fn mask(length: u8) -> Self {
        let bits = if length == 0 { 0 } else { u128::MAX << (128 - if length > 128 { 128 } else { length }) };
        Self::from_v6(bits.to_be_bytes())
    }

    /// Its value as four numbers, the most significant first. An IPv4 address is the last.
    #[inline(always)]
    pub const fn words(&self) -> [u32; 4] {
        let (high, low) = (u64::from_be(self.0[0]), u64::from_be(self.0[1]));
        [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32]
    }

    /// Its first `length` bits, 128 at most.
    #[inline(always)]
    #[must_use]
    pub const fn prefix(&self, length: u32) -> Self {
        // Without branches, because this stands in a loop that the verifier follows: all ones from 64 on.
        let whole = 0u32.wrapping_sub((length + 64) >> 7);
        let high = first_bits(length & !whole | 64 & whole);
        let low = first_bits(length.wrapping_sub(64) & whole);
        Self([self.0[0] & high.to_be(), self.0[1] & low.to_be()])
    }

    /// Its prefix: the bits that are in `mask`.
    #[inline(always)]
    #[must_use]
    pub const fn masked(&self, mask: &Self) -> Self {
        Self([self.0[0] & mask.0[0], self.0[1] & mask.0[1]])
    }

    /// Whether it is no IPv4 address in its mapped form.
    #[inline(always)]
    pub const fn is_v6(&self) -> bool {
        let [a, b, c, _] = self.words();
        a != 0 || b != 0 || c != 0xffff
    }
}

/// A word that begins with so many ones, 64 at most.
#[inline(always)]
const fn first_bits(count: u32) -> u64 {
    // In two steps, since no shift goes by 64.
    !(u64::MAX >> (count / 2) >> (count - count / 2))
}

/// What the hash of sources is keyed with. Random, and kept for as long as their states are; whoever knows it can choose
/// who shares a set.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u64; 6]);

/// Where a source's state lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// The place of `address`, masked, under rule number `rule`.
    #[inline(always)]
    pub const fn of(secret: &Secret, rule: u32, address: &Address, mask: &Address) -> Self {
        Self::of_key(secret, rule, address.masked(mask).0)
    }

    /// The place of any two words under rule number `rule`.
    ///
    /// Multilinear hashing over 32-bit words (Lemire and Kaser, "Strongly universal string hashing is fast", 2014):
    /// for a secret that nobody knows, two sources share the upper 32 bits with a probability of 2^-32, whichever
    /// they are. The finaliser of `MurmurHash3` then spreads them over all 64 bits. Not a cryptographic hash.
    #[inline(always)]
    pub const fn of_key(secret: &Secret, rule: u32, key: [u64; 2]) -> Self {
        let ([a, b], k) = (key, &secret.0);
        let mut hash = k[0].wrapping_add(k[1].wrapping_mul(rule as u64));
        hash = hash.wrapping_add(k[2].wrapping_mul(a >> 32));
        hash = hash.wrapping_add(k[3].wrapping_mul(a & 0xffff_ffff));
        hash = hash.wrapping_add(k[4].wrapping_mul(b >> 32));
        hash = hash.wrapping_add(k[5].wrapping_mul(b & 0xffff_ffff));
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        Self(hash)
    }

    /// Which set, of `mask + 1`.
    #[inline(always)]
    pub const fn set(self, mask: u32) -> u32 {
        self.0 as u32 & mask
    }

    /// What tells it apart from the others of its set; never 0, which marks an empty cell.
    #[inline(always)]
    pub const fn tag(self) -> u16 {
        let tag = (self.0 >> 48) as u16;
        if tag == 0 { 1 } else { tag }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::vec::Vec;

    use super::*;

    const SECRET: Secret = Secret([
        0x9e37_79b9_7f4a_7c15,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0xd6e8_feb8_6659_fd93,
        0xa076_1d64_78bd_642f,
        0xe703_7ed1_a0b4_28db,
    ]);
    const ALL: Address = Address::mask(128);

    #[test]
    fn a_mask_keeps_the_prefix_and_nothing_else() {
        assert_eq!(Address::mask(0).words(), [0; 4]);
        assert_eq!(Address::mask(128).words(), [u32::MAX; 4]);
        assert_eq!(Address::mask(96 + 25).words(), [u32::MAX, u32::MAX, u32::MAX, 0xffff_ff80]);
        assert_eq!(Address::mask(65).words(), [u32::MAX, u32::MAX, 0x8000_0000, 0]);
    }

    #[test]
    fn a_prefix_is_what_its_mask_keeps() {
        let address = Address::from_v6([0xff; 16]);
        for length in 0..=128u8 {
            assert_eq!(address.prefix(length.into()), address.masked(&Address::mask(length)), "/{length}");
        }
    }

    #[test]
    fn an_address_is_four_numbers() {
        assert_eq!(Address::from_v4([192, 0, 2, 1]).words(), [0, 0, 0xffff, 0xc000_0201]);
        let v6 = Address::from_v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(v6.words(), [0x2001_0db8, 0, 0, 1]);
        assert_eq!(Address::from_words([0x2001_0db8, 0, 0, 1]), v6);
    }

    #[test]
    fn sources_of_one_prefix_share_a_place_and_others_do_not() {
        let place = |a: [u8; 4]| Place::of(&SECRET, 1, &Address::from_v4(a), &Address::mask(96 + 24));
        assert_eq!(place([192, 0, 2, 1]), place([192, 0, 2, 254]));
        assert_ne!(place([192, 0, 2, 1]), place([192, 0, 3, 1]));
    }

    #[test]
    fn a_rule_is_part_of_the_place() {
        let a = Address::from_v4([192, 0, 2, 1]);
        assert_ne!(Place::of(&SECRET, 1, &a, &ALL), Place::of(&SECRET, 2, &a, &ALL));
    }

    #[test]
    fn every_word_of_an_address_counts() {
        let mut seen = Vec::new();
        for byte in 0..16 {
            let mut a = [0; 16];
            a[byte] = 1;
            seen.push(Place::of(&SECRET, 1, &Address::from_v6(a), &ALL).0);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 16);
    }

    /// 65,536 neighbours in 8,192 sets: as even as chance, no set far over its eight.
    #[test]
    fn neighbouring_addresses_spread_over_the_sets() {
        let mut sets: HashMap<u32, u32> = HashMap::new();
        for i in 0..=u16::MAX {
            let [high, low] = i.to_be_bytes();
            let place = Place::of(&SECRET, 1, &Address::from_v4([10, 0, high, low]), &ALL);
            *sets.entry(place.set(8191)).or_default() += 1;
        }
        // Chi-squared with 8,191 degrees of freedom: mean 8,191, standard deviation 128.
        let chi: f64 = (0..8192)
            .map(|set| {
                let over = f64::from(*sets.get(&set).unwrap_or(&0)) - 8.0;
                over * over / 8.0
            })
            .sum();
        assert!((7_400.0..9_000.0).contains(&chi), "chi-squared {chi}");
    }

    #[test]
    fn a_tag_is_never_the_mark_of_an_empty_cell() {
        assert_eq!(Place(0).tag(), 1);
        assert_eq!(Place(0xabcd << 48).tag(), 0xabcd);
    }
}
