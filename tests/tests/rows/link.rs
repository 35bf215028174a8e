//! Tags, and what is not IP.

use limiter_common::verdict::Skip;
use limiter_tests::packet::Frame;

use super::Expected::{Passed, Reset};
use super::{Row, bytes, row, syn4, syn6};

const CUSTOMER: u16 = 0x8100;
const SERVICE: u16 = 0x88a8;

pub fn link() -> Vec<Row> {
    let mut rows = tags();
    rows.extend(not_ip());
    rows
}

/// Up to four tags of both kinds in every order are looked under; five are not, whichever they are.
fn tags() -> Vec<Row> {
    let mut rows = Vec::new();
    for count in 0..=5u32 {
        for kinds in 0..1u32 << count {
            let tags: Vec<u16> =
                (0..count).map(|i| if kinds >> i & 1 == 0 { CUSTOMER } else { SERVICE }).collect();
            let expected = if count <= 4 { Reset } else { Passed(Skip::TooManyTags) };
            let tagged = move |frame: Frame| tags.iter().fold(frame, |frame, tag| frame.tag(*tag, 7));
            let also = tagged.clone();
            rows.push(row(format!("I1 {count} tags, kinds {kinds:b}, IPv4"), expected, move |port| {
                tagged(syn4(port))
            }));
            rows.push(row(format!("I1 {count} tags, kinds {kinds:b}, IPv6"), expected, move |port| {
                also(syn6(port))
            }));
        }
    }
    rows.push(row("I1 tag of VLAN 0: a priority", Reset, |port| syn4(port).tag(CUSTOMER, 5 << 13)));
    rows.push(row("I1 tag of VLAN 4095, all bits set", Reset, |port| syn6(port).tag(SERVICE, 0xffff)));
    rows.push(row("I1 tagged and padded to 64 bytes", Reset, |port| syn4(port).tag(CUSTOMER, 7).pad_to(64)));
    rows
}

fn not_ip() -> Vec<Row> {
    let mut rows = vec![
        row("I1 ARP request", Passed(Skip::NotIp), |_| Frame::ethernet(0x0806, &[0; 28])),
        row("I1 ARP under a tag", Passed(Skip::NotIp), |_| {
            Frame::ethernet(0x0806, &[0; 28]).tag(CUSTOMER, 7)
        }),
        row("I1 tag with nothing behind", Passed(Skip::NotIp), |_| Frame::ethernet(0, &[]).tag(CUSTOMER, 7)),
        bytes("I1 truncated tag", Passed(Skip::Truncated), |port| {
            syn4(port).tag(CUSTOMER, 7).build()[..16].to_vec()
        }),
        bytes("I1 truncated second tag", Passed(Skip::Truncated), |port| {
            syn4(port).tag(CUSTOMER, 7).tag(CUSTOMER, 8).build()[..20].to_vec()
        }),
    ];
    // The ethertypes of things that carry a SYN where a limiter on this interface does not look for it, of loopback
    // and of nothing known; below 0x0600 it is the length of an 802.3 frame.
    for (name, ethertype) in [
        ("802.3 with LLC", 0x0026),
        ("802.3, the longest", 0x05dc),
        ("MPLS unicast", 0x8847),
        ("MPLS multicast", 0x8848),
        ("PPPoE discovery", 0x8863),
        ("PPPoE session", 0x8864),
        ("802.1ah", 0x88e7),
        ("the old tag of QinQ", 0x9100),
        ("MACsec", 0x88e5),
        ("LLDP", 0x88cc),
        ("loopback test", 0x9000),
        ("nothing known", 0xffff),
        ("zero", 0),
    ] {
        rows.push(row(format!("I1 {name}"), Passed(Skip::NotIp), move |port| {
            syn4(port).ethertype(ethertype)
        }));
    }
    rows
}
