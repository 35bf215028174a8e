//! IPv6: the first fragment must hold all headers (RFC 8200, section 4.5), but there may be many of them.

use limiter_tests::packet::{Extension, Frame};

use super::{Attack, PORT, SERVERS, SOURCES, fails, opens};

const TCP: u8 = 6;
const DESTINATION_OPTIONS: u8 = 60;
const NO_NEXT_HEADER: u8 = 59;
const UNIT: usize = 8;

/// A SYN in one piece.
pub fn whole() -> Attack {
    opens("IPv6, whole", |port| vec![syn(port).build()])
}

pub fn attacks() -> Vec<Attack> {
    [vec![whole()], split(), overlapping(), headers(), nested()].into_iter().flatten().collect()
}

fn split() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for first in [8, 16, 24, 40] {
        // The kernel wants the whole header, and RFC 8200 whole units.
        let attack =
            if first >= 20 { opens } else { fails } as fn(String, Box<dyn Fn(u16) -> Vec<Vec<u8>>>) -> Attack;
        let parts = move |port| [Syn(port).part(0..first), Syn(port).part(first..Syn::LENGTH)];
        attacks.push(attack(format!("IPv6, cut after {first}"), Box::new(move |port| parts(port).to_vec())));
        attacks.push(attack(
            format!("IPv6, cut after {first}, the last part first"),
            Box::new(move |port| parts(port).into_iter().rev().collect()),
        ));
    }
    for length in [14, 15, 20, 22, 23] {
        attacks.push(fails(format!("IPv6, an ACK of {length} bytes, then the SYN"), move |port| {
            let kept = length / UNIT * UNIT;
            let first = fragment(port, TCP, 0, true, &Syn(port).as_ack()[..length]);
            vec![first, Syn(port).part(kept..Syn::LENGTH)]
        }));
    }
    attacks
}

/// RFC 5722: the kernel discards what overlaps.
fn overlapping() -> Vec<Attack> {
    vec![
        fails("IPv6, an ACK, and a SYN over it from byte 8", |port| {
            let first = fragment(port, TCP, 0, true, &Syn(port).as_ack()[..40]);
            vec![first, Syn(port).part(8..40), Syn(port).part(40..Syn::LENGTH)]
        }),
        fails("IPv6, an ACK, and a SYN over its end and on", |port| {
            vec![fragment(port, TCP, 0, true, &Syn(port).as_ack()[..24]), Syn(port).part(8..Syn::LENGTH)]
        }),
        fails("IPv6, a SYN from byte 8, and an ACK over its start", |port| {
            let over = fragment(port, TCP, 0, true, &Syn(port).as_ack()[..24]);
            vec![Syn(port).part(8..40), over, Syn(port).part(40..Syn::LENGTH)]
        }),
        fails("IPv6, an ACK, then a SYN in its place", |port| {
            let first = fragment(port, TCP, 0, true, &Syn(port).as_ack()[..24]);
            vec![first, Syn(port).part(0..24), Syn(port).part(24..Syn::LENGTH)]
        }),
        opens("IPv6, a SYN, then an ACK in its place", |port| {
            let second = fragment(port, TCP, 0, true, &Syn(port).as_ack()[..24]);
            vec![Syn(port).part(0..24), second, Syn(port).part(24..Syn::LENGTH)]
        }),
        opens("IPv6, cut after 24, the first part twice", |port| {
            vec![Syn(port).part(0..24), Syn(port).part(0..24), Syn(port).part(24..Syn::LENGTH)]
        }),
        fails("IPv6, only the later part says that it is TCP", |port| {
            let bytes = Syn(port).bytes();
            let first = fragment(port, NO_NEXT_HEADER, 0, true, &bytes[..24]);
            vec![first, fragment(port, TCP, 3, false, &bytes[24..])]
        }),
        opens("IPv6, only the first part says that it is TCP", |port| {
            let rest = fragment(port, NO_NEXT_HEADER, 3, false, &Syn(port).bytes()[24..]);
            vec![Syn(port).part(0..24), rest]
        }),
        fails("IPv6, nothing, then a SYN in its place", |port| {
            let first = fragment(port, NO_NEXT_HEADER, 0, true, &Syn(port).bytes()[..24]);
            vec![first, Syn(port).part(0..24), Syn(port).part(24..Syn::LENGTH)]
        }),
    ]
}

/// A SYN behind so many extension headers.
pub fn behind_options(count: usize) -> Attack {
    let chain = move |frame| (0..count).fold(frame, |f: Frame, _| f.extension(Extension::destination()));
    opens(format!("IPv6, behind {count} destination options"), move |port| vec![chain(syn(port)).build()])
}

/// Headers between IPv6 and TCP, whole or in fragments.
fn headers() -> Vec<Attack> {
    let mut attacks = Vec::new();
    attacks.extend((1..=8).map(behind_options));
    for (name, extension) in [
        ("hop-by-hop options", Extension::hop_by_hop()),
        ("long hop-by-hop options", Extension::hop_by_hop().longer(3)),
        ("long destination options", Extension::destination().longer(3)),
        ("a routing header", Extension::routing()),
    ] {
        let also = extension.clone();
        attacks.push(opens(format!("IPv6, behind {name}"), move |port| {
            vec![syn(port).extension(extension.clone()).build()]
        }));
        attacks.push(opens(format!("IPv6, cut after 24, behind {name}"), move |port| {
            let part = |range| Syn(port).frame(range);
            let [first, rest] = [part(0..24), part(24..Syn::LENGTH)];
            [first, rest].map(|(id, parts)| fragment_behind(&also, id, &parts).build()).to_vec()
        }));
    }
    for (name, extension) in
        [("authentication", Extension::authentication()), ("a mobility header", Extension::mobility())]
    {
        attacks.push(fails(format!("IPv6, behind {name}"), move |port| {
            vec![syn(port).extension(extension.clone()).build()]
        }));
    }
    attacks.extend([
        fails("IPv6, behind destination and then hop-by-hop options", |port| {
            let frame = syn(port).extension(Extension::destination()).extension(Extension::hop_by_hop());
            vec![frame.build()]
        }),
        opens("IPv6, without a length, behind hop-by-hop options", |port| {
            vec![syn(port).extension(Extension::hop_by_hop()).payload_length(0).build()]
        }),
        fails("IPv6, without a length, behind destination options", |port| {
            vec![syn(port).extension(Extension::destination()).payload_length(0).build()]
        }),
        opens("IPv6, destination options in the first part", |port| {
            let upper = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &Syn(port).bytes()].concat();
            vec![
                fragment(port, DESTINATION_OPTIONS, 0, true, &upper[..32]),
                fragment(port, DESTINATION_OPTIONS, 4, false, &upper[32..]),
            ]
        }),
        fails("IPv6, destination options that go on in the next part", |port| {
            let options = [TCP, 1, 1, 4, 0, 0, 0, 0, 0x1e, 6, 0, 0, 0, 0, 0, 0];
            let upper = [&options[..], &Syn(port).bytes()].concat();
            vec![
                fragment(port, DESTINATION_OPTIONS, 0, true, &upper[..8]),
                fragment(port, DESTINATION_OPTIONS, 1, false, &upper[8..]),
            ]
        }),
        fails("IPv6, destination options, and all of TCP in the next part", |port| {
            let upper = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &Syn(port).bytes()].concat();
            vec![
                fragment(port, DESTINATION_OPTIONS, 0, true, &upper[..8]),
                fragment(port, DESTINATION_OPTIONS, 1, false, &upper[8..]),
            ]
        }),
    ]);
    attacks
}

/// RFC 6946 and CVE-2023-4809.
fn nested() -> Vec<Attack> {
    let header = |port, more| fragment_header(port, 0, more);
    vec![
        opens("IPv6, an atomic fragment", move |port| vec![syn(port).extension(header(port, false)).build()]),
        opens("IPv6, an atomic fragment with the reserved bits", move |port| {
            vec![syn(port).extension(Extension::other(44, &[0, 0xff, 0, 6, 0, 0, 0, 1])).build()]
        }),
        opens("IPv6, an atomic fragment between destination options", move |port| {
            let frame = syn(port).extension(Extension::destination()).extension(header(port, false));
            vec![frame.extension(Extension::destination()).build()]
        }),
        fails("IPv6, an atomic fragment in another", move |port| {
            vec![syn(port).extension(header(port, false)).extension(header(port, false)).build()]
        }),
        fails("IPv6, whole, and more to follow that never comes", move |port| {
            vec![syn(port).extension(header(port, true)).build()]
        }),
        fails("IPv6, fragments in an atomic fragment", move |port| {
            let part = |range| Syn(port).frame(range);
            [part(0..24), part(24..Syn::LENGTH)]
                .map(|(id, parts)| fragment_behind(&header(port ^ 0x8000, false), id, &parts).build())
                .to_vec()
        }),
        fails("IPv6, an atomic fragment in fragments", move |port| {
            let upper = [&[TCP, 0, 0, 0, 0, 0, 0, 9][..], &Syn(port).bytes()].concat();
            vec![fragment(port, 44, 0, true, &upper[..40]), fragment(port, 44, 5, false, &upper[40..])]
        }),
        fails("IPv6, a later fragment in fragments", move |port| {
            let upper = [&[TCP, 0, 0, 8, 0, 0, 0, 9][..], &Syn(port).bytes()].concat();
            vec![fragment(port, 44, 0, true, &upper[..40]), fragment(port, 44, 5, false, &upper[40..])]
        }),
    ]
}

/// A SYN with options and data, from this port.
#[derive(Clone, Copy)]
struct Syn(u16);

/// A part of it: offset in units, whether more follow, bytes.
type Part = (u16, bool, Vec<u8>);

impl Syn {
    const LENGTH: usize = 64;

    fn bytes(self) -> Vec<u8> {
        let segment = frame().tcp(self.0, PORT).syn().mss(1440).timestamps(1, 0).payload(&[b'x'; 28]);
        let bytes = segment.build()[54..].to_vec();
        assert_eq!(bytes.len(), Self::LENGTH);
        bytes
    }

    /// The same, but for the flags.
    fn as_ack(self) -> Vec<u8> {
        let mut bytes = self.bytes();
        bytes[13] = 0x10;
        bytes
    }

    fn frame(self, range: std::ops::Range<usize>) -> (u16, Part) {
        let more = range.end < Self::LENGTH;
        (self.0, ((range.start / UNIT) as u16, more, self.bytes()[range].to_vec()))
    }

    fn part(self, range: std::ops::Range<usize>) -> Vec<u8> {
        let (id, (offset, more, bytes)) = self.frame(range);
        fragment(id, TCP, offset, more, &bytes)
    }
}

fn frame() -> Frame {
    Frame::ipv6(SOURCES[1], SERVERS[1])
}

fn syn(port: u16) -> Frame {
    frame().tcp(port, PORT).syn()
}

fn fragment(id: u16, next: u8, offset: u16, more: bool, bytes: &[u8]) -> Vec<u8> {
    frame().protocol(next).payload(bytes).extension(fragment_header(id, offset, more)).build()
}

fn fragment_behind(extension: &Extension, id: u16, (offset, more, bytes): &Part) -> Frame {
    let header = fragment_header(id, *offset, *more);
    frame().protocol(TCP).payload(bytes).extension(extension.clone()).extension(header)
}

fn fragment_header(id: u16, offset: u16, more: bool) -> Extension {
    let [a, b] = (offset << 3 | u16::from(more)).to_be_bytes();
    let [c, d] = id.to_be_bytes();
    Extension::other(44, &[0, 0, a, b, 0, 0, c, d])
}
