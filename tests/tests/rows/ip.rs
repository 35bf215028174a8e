//! IP headers: right, wrong, long, fragmented.

use limiter_common::verdict::Skip;
use limiter_tests::packet::{Extension, Frame};

use super::Expected::{Passed, Reset, Silence};
use super::{CLIENT_V4, Expected, Row, SERVER_V4, row, syn4, syn6, v4, v6};

/// Behind the flags, where a cut SYN still shows what it is.
const PAST_FLAGS: usize = 16;

pub fn ipv4() -> Vec<Row> {
    let mut rows = Vec::new();
    for words in 0..5 {
        rows.push(row(format!("I2 header of {words} words"), Passed(Skip::BadIpHeader), move |p| {
            syn4(p).ihl(words)
        }));
    }
    for words in 6..=15usize {
        let options = vec![1; (words - 5) * 4]; // no-operations
        rows.push(row(format!("I2 header of {words} words, options"), Reset, move |p| {
            syn4(p).ip_options(&options)
        }));
    }
    for words in 6..=15 {
        // The TCP header is looked for behind options that are not there: past the end of the frame, or its middle.
        rows.push(row(
            format!("I2 header said to have {words} words"),
            wrong_header_length(words),
            move |p| syn4(p).ihl(words),
        ));
    }
    for version in (0..16).filter(|version| *version != 4) {
        rows.push(row(format!("I2 version {version}"), Passed(Skip::BadIpHeader), move |p| {
            syn4(p).version(version)
        }));
    }
    for length in [0, 1, 19, 20, 39] {
        rows.push(row(format!("I2 total length {length}"), Passed(Skip::BadIpLength), move |p| {
            syn4(p).total_length(length)
        }));
    }
    rows.extend([
        row("I2 total length past the frame", Passed(Skip::BadIpLength), |p| syn4(p).total_length(41)),
        row("I2 total length 65535", Passed(Skip::BadIpLength), |p| syn4(p).total_length(0xffff)),
        row("I2 padded to 60 bytes", Reset, |p| syn4(p).pad_to(60)),
        row("I2 padded to 1514 bytes", Reset, |p| syn4(p).pad_to(1514)),
        row("I2 total length that ends in the padding's stead", Passed(Skip::BadIpLength), |p| {
            syn4(p).total_length(39).pad_to(60)
        }),
        row("I2 bad header checksum: judged, since checking it would cost all others", Reset, |p| {
            syn4(p).bad_ip_checksum()
        }),
        row("I2 time to live 0", Reset, |p| syn4(p).ttl(0)),
        row("I2 don't fragment", Reset, |p| syn4(p).dont_fragment()),
        row("I2 UDP to the port", Passed(Skip::NotTcp), |p| v4().udp(40_000, p).payload(b"GET /")),
        row("I2 ICMP", Passed(Skip::NotTcp), |_| v4().protocol(1).payload(&[8, 0, 0, 0, 0, 0, 0, 0])),
        row("I2 SCTP", Passed(Skip::NotTcp), |_| v4().protocol(132).payload(&[0; 32])),
        row("I2 ESP over IPv4", Passed(Skip::NotTcp), |_| v4().protocol(50).payload(&[0; 32])),
        row("I2 IPv4 in IPv4", Passed(Skip::NotTcp), |p| v4().protocol(4).payload(&syn4(p).build()[14..])),
    ]);
    // From where no reply can be wanted, or to where nobody answers.
    for source in
        ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"]
    {
        rows.push(row(format!("I2 from {source}"), Silence, move |p| {
            Frame::ipv4(source, SERVER_V4).tcp(1, p).syn()
        }));
    }
    for destination in ["224.0.0.1", "255.255.255.255"] {
        rows.push(row(format!("I2 to {destination}"), Silence, move |p| {
            Frame::ipv4(CLIENT_V4, destination).tcp(1, p).syn()
        }));
    }
    rows
}

/// What the byte that is then taken for the flags makes of it: with 6 words it is the first of the window; from 7 on
/// the header runs past the end.
fn wrong_header_length(words: u8) -> Expected {
    Passed(if words == 6 { Skip::NotSyn } else { Skip::Truncated })
}

pub fn ipv4_fragments() -> Vec<Row> {
    let tcp = |port| syn4(port).payload(&[0; 64]).build()[34..].to_vec();
    let part = move |offset: u16, more: bool, from: usize, to: usize| {
        move |port| v4().protocol(6).payload(&tcp(port)[from..to]).fragment(offset, more)
    };
    vec![
        row("I3 first, with a whole TCP header", Silence, part(0, true, 0, 40)),
        row("I3 first, with the TCP header and nothing else", Silence, part(0, true, 0, 24)),
        row("I3 first of 16 bytes: the flags are in it", Silence, part(0, true, 0, 16)),
        row(
            "I3 first of 8 bytes: the flags come later, so it is taken for a SYN",
            Silence,
            part(0, true, 0, 8),
        ),
        row("I3 first of 8 bytes, padded with zeroes", Silence, move |p| part(0, true, 0, 8)(p).pad_to(60)),
        row("I3 first of 4 bytes: no sender splits so", Passed(Skip::BadIpLength), part(0, true, 0, 4)),
        row("I3 first of 15 bytes, an ACK: the kernel takes 8 of them", Silence, |p| {
            v4().protocol(6).payload(&v4().tcp(1, p).ack().build()[34..49]).fragment(0, true)
        }),
        row("I3 first of 16 bytes, an ACK", Passed(Skip::NotSyn), |p| {
            v4().protocol(6).payload(&v4().tcp(1, p).ack().build()[34..50]).fragment(0, true)
        }),
        row(
            "I3 at offset 1, over the flags (RFC 1858, 3128)",
            Passed(Skip::LaterFragment),
            part(1, true, 8, 40),
        ),
        row("I3 in the middle", Passed(Skip::LaterFragment), part(4, true, 32, 64)),
        row("I3 the last", Passed(Skip::LaterFragment), part(8, false, 64, 84)),
        row("I3 at the highest offset", Passed(Skip::LaterFragment), part(0x1fff, false, 0, 20)),
        row("I3 more to follow, and whole", Silence, |p| syn4(p).fragment(0, true)),
        row("I3 later fragment of UDP", Passed(Skip::NotTcp), |_| {
            v4().protocol(17).payload(&[0; 16]).fragment(2, false)
        }),
    ]
}

pub fn ipv6() -> Vec<Row> {
    let mut rows = extensions();
    rows.extend(ipv6_fragments());
    for version in (0..16).filter(|version| *version != 6) {
        rows.push(row(format!("I4 version {version}"), Passed(Skip::BadIpHeader), move |p| {
            syn6(p).version(version)
        }));
    }
    for length in [0, 1, 19] {
        rows.push(row(format!("I4 payload length {length}"), Passed(Skip::BadIpLength), move |p| {
            syn6(p).payload_length(length)
        }));
    }
    rows.extend([
        row("I4 payload length past the frame", Passed(Skip::BadIpLength), |p| syn6(p).payload_length(21)),
        row("I4 payload length 65535", Passed(Skip::BadIpLength), |p| syn6(p).payload_length(0xffff)),
        row("I4 padded", Reset, |p| syn6(p).pad_to(100)),
        row("I4 hop limit 0", Reset, |p| syn6(p).ttl(0)),
        row("I4 UDP to the port", Passed(Skip::NotTcp), |p| v6().udp(40_000, p).payload(b"GET /")),
        row("I4 ICMPv6", Passed(Skip::NotTcp), |_| v6().protocol(58).payload(&[128, 0, 0, 0, 0, 0, 0, 0])),
        row("I4 unknown next header", Passed(Skip::NotTcp), |_| v6().protocol(253).payload(&[0; 32])),
        row("I4 IPv6 in IPv6", Passed(Skip::NotTcp), |p| v6().protocol(41).payload(&syn6(p).build()[14..])),
        row("I4 IPv4 in IPv6", Passed(Skip::NotTcp), |p| v6().protocol(4).payload(&syn4(p).build()[14..])),
    ]);
    for source in ["::", "::1", "ff02::1", "ff0e::5"] {
        rows.push(row(format!("I4 from {source}"), Silence, move |p| {
            Frame::ipv6(source, "2001:db8::1").tcp(1, p).syn()
        }));
    }
    rows.push(row("I4 to all nodes", Silence, |p| Frame::ipv6("2001:db8::1", "ff02::1").tcp(1, p).syn()));
    rows
}

/// A kind of extension header, by name.
type Kind = (&'static str, fn() -> Extension);

const KINDS: [Kind; 5] = [
    ("hop-by-hop", Extension::hop_by_hop),
    ("destination", Extension::destination),
    ("routing", Extension::routing),
    ("authentication", Extension::authentication),
    ("mobility", Extension::mobility),
];

fn extensions() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, kind) in KINDS {
        rows.push(row(format!("I4 {name}"), Reset, move |p| syn6(p).extension(kind())));
        if name != "authentication" {
            rows.push(row(format!("I4 {name}, long"), Reset, move |p| syn6(p).extension(kind().longer(3))));
        }
        rows.push(row(format!("I4 {name}, past the end"), Passed(Skip::Truncated), move |p| {
            syn6(p).extension(kind().length_field(255))
        }));
        rows.push(row(format!("I4 {name}, twice"), Reset, move |p| {
            syn6(p).extension(kind()).extension(kind())
        }));
    }
    // Any order: what is wrong with it is for the kernel to find.
    for (i, (first, a)) in KINDS.into_iter().enumerate() {
        let (second, b) = KINDS[(i + 2) % KINDS.len()];
        rows.push(row(format!("I4 {first}, then {second}"), Reset, move |p| {
            syn6(p).extension(a()).extension(b())
        }));
    }
    for count in 1..=9 {
        let expected = if count <= 8 { Reset } else { Passed(Skip::TooManyExtensions) };
        rows.push(row(format!("I4 a chain of {count}"), expected, move |p| {
            (0..count).fold(syn6(p), |frame, i| frame.extension(KINDS[i % KINDS.len()].1()))
        }));
    }
    rows.extend([
        row("I4 a chain of 8 under 4 tags", Reset, |p| {
            let chain = (0..8).fold(syn6(p), |frame, _| frame.extension(Extension::destination()));
            (0..4).fold(chain, |frame, _| frame.tag(0x8100, 7))
        }),
        row("I4 authentication, long: its length counts words, without the first two", Reset, |p| {
            let mut bytes = [0; 44];
            bytes[1] = 9;
            syn6(p).extension(Extension::other(51, &bytes))
        }),
        row("I4 ESP", Passed(Skip::Encrypted), |p| syn6(p).extension(Extension::esp())),
        row("I4 ESP behind destination options", Passed(Skip::Encrypted), |p| {
            syn6(p).extension(Extension::destination()).extension(Extension::esp())
        }),
        row("I4 no next header", Passed(Skip::NotTcp), |p| syn6(p).extension(Extension::none())),
        row("I4 hop-by-hop, then none", Passed(Skip::NotTcp), |p| {
            syn6(p).extension(Extension::hop_by_hop()).extension(Extension::none())
        }),
        row("I4 UDP behind hop-by-hop", Passed(Skip::NotTcp), |p| {
            v6().udp(1, p).payload(b"x").extension(Extension::hop_by_hop())
        }),
        row("I4 an ACK behind hop-by-hop", Passed(Skip::NotSyn), |p| {
            v6().tcp(1, p).ack().extension(Extension::hop_by_hop())
        }),
        row("I4 a jumbogram's length before hop-by-hop: the frame's counts, as in the kernel", Reset, |p| {
            syn6(p).extension(Extension::hop_by_hop()).payload_length(0)
        }),
        row("I4 a jumbogram's length before anything else", Passed(Skip::BadIpLength), |p| {
            syn6(p).extension(Extension::destination()).payload_length(0)
        }),
    ]);
    rows
}

fn ipv6_fragments() -> Vec<Row> {
    let fragment = |offset, more| move |p| syn6(p).extension(Extension::fragment(offset, more));
    vec![
        row("I4 atomic fragment", Reset, fragment(0, false)),
        row("I4 first fragment", Silence, fragment(0, true)),
        row("I4 later fragment", Passed(Skip::LaterFragment), fragment(1, true)),
        row("I4 last fragment", Passed(Skip::LaterFragment), fragment(0x1fff, false)),
        row("I4 first fragment behind destination options", Silence, |p| {
            syn6(p).extension(Extension::destination()).extension(Extension::fragment(0, true))
        }),
        row("I4 two fragment headers (CVE-2023-4809)", Passed(Skip::NestedFragment), |p| {
            syn6(p).extension(Extension::fragment(0, false)).extension(Extension::fragment(0, false))
        }),
        row("I4 a later fragment in a first one", Passed(Skip::LaterFragment), |p| {
            syn6(p).extension(Extension::fragment(0, true)).extension(Extension::fragment(3, false))
        }),
        row("I4 first fragment of 8 bytes of TCP", Silence, |p| {
            v6().protocol(6).payload(&syn6(p).build()[54..62]).extension(Extension::fragment(0, true))
        }),
        row("I4 first fragment that ends past the flags", Silence, |p| {
            v6().protocol(6)
                .payload(&syn6(p).build()[54..54 + PAST_FLAGS])
                .extension(Extension::fragment(0, true))
        }),
        row("I4 first fragment without TCP", Passed(Skip::BadIpLength), |_| {
            v6().protocol(6).extension(Extension::fragment(0, true))
        }),
        row("I4 first fragment whose extension header is cut", Passed(Skip::Truncated), |_| {
            v6().protocol(60).payload(&[6]).extension(Extension::fragment(0, true))
        }),
    ]
}
