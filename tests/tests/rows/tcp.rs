//! Segments: flags, shapes of SYNs, and how they are answered.

use limiter_common::verdict::Skip;
use limiter_tests::packet::{Frame, Mac, flags};

use super::Expected::{Passed, Reset, Silence};
use super::{CLIENT_V4, CLIENT_V6, Expected, Row, SERVER_V4, SERVER_V6, row, syn4, syn6, v4, v6};

/// Every value of the nine flags, with a data offset too small, right, the largest, and past the end.
pub fn tcp_flags() -> Vec<Row> {
    let mut rows = Vec::new();
    for value in 0..512 {
        for (name, offset, options) in
            [("below 5", 4, 0), ("5", 5, 0), ("15", 15, 40), ("past the end", 15, 0)]
        {
            let opens = value & (flags::SYN | flags::ACK | flags::RST | flags::FIN) == flags::SYN;
            // A data offset that cannot be is for the kernel to refuse. It is counted: no forger gains by it, and what
            // is counted may be wrong, but what is not might be a connection.
            let whole = offset == 5 || options > 0;
            let expected = match (opens, whole) {
                (true, true) => Reset,
                (true, false) => Silence,
                (false, _) => Passed(Skip::NotSyn),
            };
            let segment =
                move |frame: Frame| frame.options(&vec![1; options]).data_offset(offset).flags(value);
            let name = format!("I5 flags {value:#05x}, data offset {name}");
            rows.push(row(format!("{name}, IPv4"), expected, move |p| segment(v4().tcp(40_000, p))));
            rows.push(row(format!("{name}, IPv6"), expected, move |p| segment(v6().tcp(40_000, p))));
        }
    }
    rows
}

pub fn syns() -> Vec<Row> {
    type Shape = (&'static str, Expected, fn(Frame) -> Frame);
    let shapes: [Shape; 14] = [
        ("plain", Reset, |f| f),
        ("with the options of Linux", Reset, |f| f.mss(1460).timestamps(1, 0).options(&[1, 3, 3, 7])),
        ("with 40 bytes of options", Reset, |f| f.options(&[1; 40])),
        ("with one byte of data", Reset, |f| f.payload(b"x")),
        ("with an odd number of bytes", Reset, |f| f.payload(&[7; 999])),
        ("with data and options", Reset, |f| f.mss(1460).payload(b"GET / HTTP/1.0\r\n\r\n")),
        ("with a full segment", Reset, |f| f.payload(&[0xff; 1440])),
        ("asking for a Fast Open cookie", Reset, |f| f.fast_open(&[])),
        ("with a Fast Open cookie and data", Reset, |f| {
            f.fast_open(&[1, 2, 3, 4, 5, 6, 7, 8]).payload(b"GET /")
        }),
        ("with ECN", Reset, |f| f.flags(flags::SYN | flags::ECE | flags::CWR)),
        ("with accurate ECN", Reset, |f| f.flags(flags::SYN | flags::ECE | flags::CWR | flags::AE)),
        ("with PSH and URG", Reset, |f| f.flags(flags::SYN | flags::PSH | flags::URG)),
        ("with a bad checksum", Reset, Frame::bad_checksum),
        ("with an acknowledgement number and no ACK", Reset, |f| f.ack_number(0x1234_5678)),
    ];
    let mut rows = Vec::new();
    for (name, expected, shape) in shapes {
        rows.push(row(format!("I6 {name}, IPv4"), expected, move |p| shape(syn4(p))));
        rows.push(row(format!("I6 {name}, IPv6"), expected, move |p| shape(syn6(p))));
    }
    rows.extend([
        row("I6 from port 0", Reset, |p| v4().tcp(0, p).syn()),
        row("I6 from its own port: a simultaneous open", Reset, |p| v4().tcp(p, p).syn()),
        row("I6 from its destination, IPv4", Silence, |p| Frame::ipv4(SERVER_V4, SERVER_V4).tcp(p, p).syn()),
        row("I6 from its destination, IPv6", Silence, |p| Frame::ipv6(SERVER_V6, SERVER_V6).tcp(p, p).syn()),
        row("I6 the answer to a SYN", Passed(Skip::NotSyn), |p| v4().tcp(p, p).syn().ack()),
        row("I6 data of a connection", Passed(Skip::NotSyn), |p| v4().tcp(1, p).ack().payload(&[0; 500])),
    ]);
    rows
}

pub fn replies() -> Vec<Row> {
    let mut rows = Vec::new();
    for (family, syn) in [("IPv4", syn4 as fn(u16) -> Frame), ("IPv6", syn6)] {
        for sequence in [0, 1, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff] {
            rows.push(row(format!("I10 sequence {sequence:#x}, {family}"), Reset, move |p| {
                syn(p).seq(sequence)
            }));
            rows.push(row(format!("I10 sequence {sequence:#x} and data, {family}"), Reset, move |p| {
                syn(p).seq(sequence).payload(b"ab")
            }));
        }
        for tags in 0..=4 {
            rows.push(row(format!("I10 under {tags} tags, {family}"), Reset, move |p| {
                (0..tags).fold(syn(p), |frame, i| frame.tag(0x8100, 100 + i)).pad_to(64)
            }));
        }
        let silent: [(&str, Mac, Mac); 4] = [
            ("to everybody", Mac::CLIENT, Mac::BROADCAST),
            ("to a group", Mac::CLIENT, Mac([0x33, 0x33, 0, 0, 0, 1])),
            ("from everybody", Mac::BROADCAST, Mac::SERVER),
            ("from a group", Mac([1, 0, 0x5e, 0, 0, 1]), Mac::SERVER),
        ];
        for (name, from, to) in silent {
            rows.push(row(format!("I10 {name}, {family}"), Silence, move |p| syn(p).macs(from, to)));
        }
        rows.push(row(format!("I10 to data and options under tags, {family}"), Reset, move |p| {
            syn(p).mss(1460).timestamps(7, 0).payload(&[9; 600]).tag(0x88a8, 1).tag(0x8100, 2)
        }));
        // To an RST nothing is ever answered: it is no SYN, whatever else it says.
        for (name, value) in [("RST", flags::RST), ("RST and SYN", flags::RST | flags::SYN)] {
            rows.push(row(format!("I10 to {name}, {family}"), Passed(Skip::NotSyn), move |p| {
                syn(p).flags(value)
            }));
        }
    }
    // Sums that carry: addresses and ports of all ones.
    rows.push(row("I10 checksum that carries, IPv4", Reset, |p| {
        Frame::ipv4("223.255.255.255", "223.255.255.254").tcp(0xffff, p).syn().seq(0xffff_fffe)
    }));
    rows.push(row("I10 checksum that carries, IPv6", Reset, |p| {
        let ones = "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        Frame::ipv6(ones, "feff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").tcp(0xffff, p).syn().seq(0xffff_fffe)
    }));
    rows.push(row("I10 to the port itself, IPv4", Reset, |p| {
        Frame::ipv4(CLIENT_V4, SERVER_V4).tcp(p, p).syn()
    }));
    rows.push(row("I10 to the port itself, IPv6", Reset, |p| {
        Frame::ipv6(CLIENT_V6, SERVER_V6).tcp(p, p).syn()
    }));
    rows
}
