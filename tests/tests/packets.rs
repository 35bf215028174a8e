//! Packets in a table: what the parser on the host and the program in the kernel make of each, and what comes out.
//!
//! Rows are lettered after the classes of input that the limiter is held to: link layer, IPv4, fragments, IPv6,
//! TCP flags, SYNs of every shape, cut frames, replies.

mod rows;

use limiter_common::packet::parse;
use limiter_common::verdict::{Reason, Skip};
use limiter_tests::packet::{Parsed, checksums_ok, flags};
use limiter_tests::program::{Counted, DROPS, MONITORS, PASSES, Program, RESETS, UNRULED, XdpVerdict};

use rows::{Expected, Row};

/// What a SYN that is refused counts: the rules of the table refuse by their totals.
const REFUSED: Counted = Counted::Refused(Reason::Total);

#[test]
fn link_layer() {
    hold(&rows::link());
}

#[test]
fn ipv4() {
    hold(&rows::ipv4());
}

#[test]
fn ipv4_fragments() {
    hold(&rows::ipv4_fragments());
}

#[test]
fn ipv6() {
    hold(&rows::ipv6());
}

#[test]
fn tcp_flags_and_data_offsets() {
    let rows = rows::tcp_flags();
    assert_eq!(rows.len(), 2 * 2048);
    hold(&rows);
}

#[test]
fn syns_of_every_shape() {
    hold(&rows::syns());
}

#[test]
fn replies() {
    hold(&rows::replies());
}

/// Every row cut at every length: the kernel agrees with the host, and no SYN slips through uncounted.
#[test]
fn frames_cut_at_every_length() {
    let mut program = Program::load();
    let mut cuts = 0;
    for row in rows::all_but_flags() {
        let whole = row.frame(DROPS);
        for length in 0..whole.len() {
            let cut = &whole[..length];
            let host = parse(cut);
            if let (Expected::Reset | Expected::Silence, Err(skip)) = (&row.expected, &host) {
                assert!(
                    skip.is_counted(),
                    "{} cut to {length}: passes as {skip:?}, and nobody counts it",
                    row.name
                );
            }
            cuts += 1;
            // The kernel takes no frame without a whole Ethernet header, and neither does a network card.
            if length < 14 {
                continue;
            }
            let seen = program.run(cut);
            let expected = match host {
                Ok(_) => (XdpVerdict::Drop, vec![REFUSED]),
                Err(skip) => (XdpVerdict::Pass, counted(skip)),
            };
            assert_eq!((seen.verdict, seen.counted), expected, "{} cut to {length}", row.name);
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 5_000, "{cuts} cuts");
}

/// Holds rows against the host's parser and against the kernel, for every kind of rule.
fn hold(rows: &[Row]) {
    println!("{} rows", rows.len());
    let mut program = Program::load();
    for row in rows {
        match row.expected {
            Expected::Reset | Expected::Silence => hold_judged(&mut program, row),
            Expected::Passed(skip) => hold_passed(&mut program, row, skip),
        }
    }
}

fn hold_judged(program: &mut Program, row: &Row) {
    let name = &row.name;
    let syn =
        parse(&row.frame(PASSES)[..]).unwrap_or_else(|skip| panic!("{name}: the host skips it as {skip:?}"));
    assert_eq!(syn.destination_port, PASSES, "{name}");

    for (port, verdict, counts) in [
        (PASSES, XdpVerdict::Pass, vec![Counted::Passed]),
        (MONITORS, XdpVerdict::Pass, vec![REFUSED]),
        (UNRULED, XdpVerdict::Pass, vec![]),
        (DROPS, XdpVerdict::Drop, vec![REFUSED]),
    ] {
        let frame = row.frame(port);
        let seen = program.run(&frame);
        assert_eq!((seen.verdict, &seen.counted), (verdict, &counts), "{name}, port {port}");
        assert_eq!(seen.frame, frame, "{name}, port {port}: the packet was changed");
    }

    let frame = row.frame(RESETS);
    let seen = program.run(&frame);
    assert_eq!(seen.counted, [REFUSED], "{name}, port {RESETS}");
    if row.expected == Expected::Silence {
        assert_eq!(seen.verdict, XdpVerdict::Drop, "{name}: no reply may be sent");
        assert_eq!(seen.frame, frame, "{name}: the packet was changed");
    } else {
        assert_eq!(seen.verdict, XdpVerdict::Tx, "{name}: a reply is due");
        hold_reset(name, &frame, &seen.frame);
    }
}

fn hold_passed(program: &mut Program, row: &Row, skip: Skip) {
    let name = &row.name;
    let frame = row.frame(RESETS);
    assert_eq!(parse(&frame[..]), Err(skip), "{name}, on the host");
    let seen = program.run(&frame);
    assert_eq!((seen.verdict, seen.counted), (XdpVerdict::Pass, counted(skip)), "{name}");
    assert_eq!(seen.frame, frame, "{name}: the packet was changed");
}

fn counted(skip: Skip) -> Vec<Counted> {
    if skip.is_counted() { vec![Counted::Skipped(skip)] } else { vec![] }
}

/// The reply to `syn`, field by field (RFC 9293, 3.10.7.1).
fn hold_reset(name: &str, syn: &[u8], reply: &[u8]) {
    assert!(reply.len() <= syn.len(), "{name}: {} bytes answer {}", reply.len(), syn.len());
    assert!(checksums_ok(reply), "{name}: a checksum of the reply is wrong");
    let out = Parsed::tcp(reply).unwrap_or_else(|| panic!("{name}: the reply is no TCP segment"));
    let came = Parsed::tcp(syn).unwrap_or_else(|| panic!("{name}: the fixture cannot read its own SYN"));
    assert_eq!((out.source_mac, out.destination_mac), (came.destination_mac, came.source_mac), "{name}");
    assert_eq!(out.tags, came.tags, "{name}");
    assert_eq!((out.source, out.destination), (came.destination, came.source), "{name}");
    assert_eq!((out.source_port, out.destination_port), (came.destination_port, came.source_port), "{name}");
    assert_eq!(out.flags, flags::RST | flags::ACK, "{name}");
    assert_eq!(out.seq, 0, "{name}");
    assert_eq!(out.ack, came.seq.wrapping_add(1 + came.payload.len() as u32), "{name}");
    assert_eq!((out.window, out.ttl, out.padding), (0, 64, 0), "{name}");
    assert!(out.options.is_empty() && out.payload.is_empty(), "{name}: the reply carries more than it must");
}
