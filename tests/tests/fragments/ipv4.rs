//! IPv4: a first fragment may be as short as eight bytes, and the flags of TCP then come in the next one.

use limiter_tests::packet::Frame;

use super::{Attack, PORT, SERVERS, SOURCES, fails, opens};

/// Bytes of TCP up to the flags, as the kernel cuts fragments: in units of eight.
const BEFORE_FLAGS: usize = 8;
const UNIT: usize = 8;

/// A SYN in one piece.
pub fn whole() -> Attack {
    opens("IPv4, whole", |port| vec![frame().tcp(port, PORT).syn().build()])
}

pub fn attacks() -> Vec<Attack> {
    [vec![whole()], split(), tiny(), overlapping(), odd()].into_iter().flatten().collect()
}

/// Cut in two and three, in every order.
fn split() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for first in [BEFORE_FLAGS, 16, 24, 40] {
        attacks.push(opens(format!("IPv4, cut after {first}"), move |port| {
            vec![Syn(port).part(0..first), Syn(port).part(first..Syn::LENGTH)]
        }));
        attacks.push(opens(format!("IPv4, cut after {first}, the last part first"), move |port| {
            vec![Syn(port).part(first..Syn::LENGTH), Syn(port).part(0..first)]
        }));
    }
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        attacks.push(opens(format!("IPv4, cut after 8 and 16, in the order {order:?}"), move |port| {
            let parts = [0..8, 8..16, 16..Syn::LENGTH].map(|range| Syn(port).part(range));
            order.map(|part| parts[part].clone()).to_vec()
        }));
    }
    attacks
}

/// A first part that shows an ACK, and is said to have some more bytes than a multiple of eight. The kernel does not
/// take those (`ip_frag_queue`), so the next part puts the flags that it likes.
fn tiny() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for length in 9..24 {
        let kept = length / UNIT * UNIT;
        let attack = if kept > BEFORE_FLAGS { fails } else { opens }
            as fn(String, Box<dyn Fn(u16) -> Vec<Vec<u8>>>) -> Attack;
        let parts = move |port| {
            [fragment(port, 0, true, &Syn(port).as_ack()[..length]), Syn(port).part(kept..Syn::LENGTH)]
        };
        attacks.push(attack(
            format!("IPv4, an ACK of {length} bytes, of which the kernel takes {kept}, then the SYN"),
            Box::new(move |port| parts(port).to_vec()),
        ));
        attacks.push(attack(
            format!(
                "IPv4, the rest of a SYN, then an ACK of {length} bytes, of which the kernel takes {kept}"
            ),
            Box::new(move |port| parts(port).into_iter().rev().collect()),
        ));
    }
    attacks.extend([
        fails("IPv4, a first part of four bytes", |port| {
            vec![fragment(port, 0, true, &Syn(port).bytes()[..4]), Syn(port).part(8..Syn::LENGTH)]
        }),
        fails("IPv4, a first part of nothing", |port| {
            vec![fragment(port, 0, true, &[]), Syn(port).part(8..Syn::LENGTH)]
        }),
        opens("IPv4, cut after 8, and an ACK in the padding", |port| {
            let mut first = Syn(port).part(0..8);
            first.extend(&Syn(port).as_ack()[8..40]);
            vec![first, Syn(port).part(8..Syn::LENGTH)]
        }),
    ]);
    attacks
}

/// RFC 1858 and 3128: one part says ACK, another that lies over it says SYN.
fn overlapping() -> Vec<Attack> {
    vec![
        fails("IPv4, an ACK, and a SYN over it from byte 8", |port| {
            let first = fragment(port, 0, true, &Syn(port).as_ack()[..40]);
            vec![first, Syn(port).part(8..40), Syn(port).part(40..Syn::LENGTH)]
        }),
        fails("IPv4, an ACK, and a SYN over its end and on", |port| {
            vec![fragment(port, 0, true, &Syn(port).as_ack()[..16]), Syn(port).part(8..Syn::LENGTH)]
        }),
        fails("IPv4, a SYN from byte 8, and an ACK over its start", |port| {
            let over = fragment(port, 0, true, &Syn(port).as_ack()[..16]);
            vec![Syn(port).part(8..40), over, Syn(port).part(40..Syn::LENGTH)]
        }),
        fails("IPv4, the flags of a SYN, and an ACK over them", |port| {
            let over = fragment(port, 0, true, &Syn(port).as_ack()[..16]);
            vec![Syn(port).part(8..16), over, Syn(port).part(16..Syn::LENGTH)]
        }),
        fails("IPv4, an ACK, then a SYN in its place", |port| {
            let first = fragment(port, 0, true, &Syn(port).as_ack()[..16]);
            vec![first, Syn(port).part(0..16), Syn(port).part(16..Syn::LENGTH)]
        }),
        opens("IPv4, a SYN, then an ACK in its place", |port| {
            let second = fragment(port, 0, true, &Syn(port).as_ack()[..16]);
            vec![Syn(port).part(0..16), second, Syn(port).part(16..Syn::LENGTH)]
        }),
        opens("IPv4, cut after 8, the first part twice", |port| {
            vec![Syn(port).part(0..8), Syn(port).part(0..8), Syn(port).part(8..Syn::LENGTH)]
        }),
        fails("IPv4, another port, then the right one in its place", |port| {
            let mut elsewhere = Syn(port).bytes();
            elsewhere[2..4].copy_from_slice(&82_u16.to_be_bytes());
            let first = fragment(port, 0, true, &elsewhere[..8]);
            vec![first, Syn(port).part(0..8), Syn(port).part(8..Syn::LENGTH)]
        }),
        fails("IPv4, more than the last part says there is", |port| {
            let last = fragment(port, 1, false, &Syn(port).bytes()[8..40]);
            vec![last, Syn(port).part(0..8), Syn(port).part(40..Syn::LENGTH)]
        }),
    ]
}

/// Odd headers around it.
fn odd() -> Vec<Attack> {
    const RESERVED: u16 = 0x8000;
    let whole = |port| frame().tcp(port, PORT).syn().id(port);
    vec![
        fails("IPv4, whole, and more to follow that never comes", move |port| {
            vec![whole(port).fragment(0, true).build()]
        }),
        opens("IPv4, whole, with the reserved bit", move |port| {
            vec![whole(port).fragment(RESERVED, false).build()]
        }),
        opens("IPv4, cut after 8, with the reserved bit", |port| {
            let first = raw(port, &Syn(port).bytes()[..8]).fragment(RESERVED, true);
            vec![first.build(), Syn(port).part(8..Syn::LENGTH)]
        }),
        opens("IPv4, cut after 8, not to be fragmented", |port| {
            let first = raw(port, &Syn(port).bytes()[..8]).fragment(0, true).dont_fragment();
            vec![first.build(), Syn(port).part(8..Syn::LENGTH)]
        }),
        opens("IPv4, cut after 8, with all the options that fit", |port| {
            let first = raw(port, &Syn(port).bytes()[..8]).fragment(0, true).ip_options(&[1; 40]);
            vec![first.build(), Syn(port).part(8..Syn::LENGTH)]
        }),
        opens("IPv4, cut after 8, with options on the rest", |port| {
            let rest = raw(port, &Syn(port).bytes()[8..]).fragment(1, false).ip_options(&[1; 40]);
            vec![Syn(port).part(0..8), rest.build()]
        }),
        opens("IPv4, cut after 8, under a priority tag", |port| {
            let first = raw(port, &Syn(port).bytes()[..8]).fragment(0, true).tag(0x8100, 0);
            vec![first.build(), Syn(port).part(8..Syn::LENGTH)]
        }),
    ]
}

/// A SYN with options and data, from this port.
#[derive(Clone, Copy)]
struct Syn(u16);

impl Syn {
    const LENGTH: usize = 64;

    fn bytes(self) -> Vec<u8> {
        let segment = frame().tcp(self.0, PORT).syn().mss(1460).timestamps(1, 0).payload(&[b'x'; 28]);
        let bytes = segment.build()[34..].to_vec();
        assert_eq!(bytes.len(), Self::LENGTH);
        bytes
    }

    /// The same, but for the flags.
    fn as_ack(self) -> Vec<u8> {
        let mut bytes = self.bytes();
        bytes[13] = 0x10;
        bytes
    }

    fn part(self, range: std::ops::Range<usize>) -> Vec<u8> {
        let more = range.end < Self::LENGTH;
        fragment(self.0, (range.start / UNIT) as u16, more, &self.bytes()[range])
    }
}

fn frame() -> Frame {
    Frame::ipv4(SOURCES[0], SERVERS[0])
}

fn raw(id: u16, bytes: &[u8]) -> Frame {
    frame().protocol(6).payload(bytes).id(id)
}

fn fragment(id: u16, offset: u16, more: bool, bytes: &[u8]) -> Vec<u8> {
    raw(id, bytes).fragment(offset, more).build()
}
