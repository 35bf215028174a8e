//! IPv6 extension headers.

/// An extension header. Its first byte says what follows and is filled in by the frame.
#[derive(Debug, Clone)]
#[must_use]
pub struct Extension {
    number: u8,
    bytes: Vec<u8>,
    /// What follows cannot be told from outside.
    opaque: bool,
}

/// The length byte of a header of eight bytes, which does not count these.
const EIGHT_BYTES: u8 = 0;
/// An option that fills four bytes (RFC 8200, section 4.2).
const PAD_4: [u8; 4] = [1, 2, 0, 0];
/// An option of eight bytes that whoever does not know it skips (RFC 4727). Linux takes no more than seven of padding.
const UNKNOWN_8: [u8; 8] = [0x1e, 6, 0, 0, 0, 0, 0, 0];

impl Extension {
    /// Hop-by-hop options, with nothing but padding.
    pub fn hop_by_hop() -> Self {
        Self::options(0)
    }

    /// Destination options, with nothing but padding.
    pub fn destination() -> Self {
        Self::options(60)
    }

    /// Routing, of type 0, with no segment left.
    pub fn routing() -> Self {
        Self::other(43, &[0, EIGHT_BYTES, 0, 0, 0, 0, 0, 0])
    }

    /// Part of a packet, from an offset on in units of eight bytes, with more to follow or not.
    pub fn fragment(offset: u16, more: bool) -> Self {
        let [a, b] = (offset << 3 | u16::from(more)).to_be_bytes();
        Self::other(44, &[0, 0, a, b, 0, 0, 0, 1])
    }

    /// Authentication, with an integrity check value of 12 bytes. Its length counts words, without the first two.
    pub fn authentication() -> Self {
        let mut bytes = [0; 24];
        bytes[1] = 4;
        Self::other(51, &bytes)
    }

    /// Encryption: what follows is said to be ciphertext.
    pub fn esp() -> Self {
        Self { opaque: true, ..Self::other(50, &[0, 0, 0, 1, 0, 0, 0, 1]) }
    }

    /// Mobility: a binding refresh request.
    pub fn mobility() -> Self {
        Self::other(135, &[0, EIGHT_BYTES, 0, 0, 0, 0, 0, 0])
    }

    /// Nothing follows, it says; it has no bytes.
    pub fn none() -> Self {
        Self { opaque: true, ..Self::other(59, &[]) }
    }

    /// Any header: its number and all of its bytes, the first of which is overwritten.
    pub fn other(number: u8, bytes: &[u8]) -> Self {
        Self { number, bytes: bytes.to_vec(), opaque: false }
    }

    /// Appends so many times eight bytes, and says so in its length. Suits all but authentication and fragments.
    pub fn longer(mut self, units: u8) -> Self {
        for _ in 0..units {
            self.bytes.extend(UNKNOWN_8);
        }
        self.bytes[1] += units;
        self
    }

    /// Says that it has this length, in its own units.
    pub fn length_field(mut self, length: u8) -> Self {
        self.bytes[1] = length;
        self
    }

    pub(super) fn number(&self) -> u8 {
        self.number
    }

    pub(super) fn encode(&self, next: u8) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if let (false, Some(first)) = (self.opaque, bytes.first_mut()) {
            *first = next;
        }
        bytes
    }

    fn options(number: u8) -> Self {
        let [a, b, c, d] = PAD_4;
        Self::other(number, &[0, EIGHT_BYTES, a, b, c, d, 1, 0])
    }
}
