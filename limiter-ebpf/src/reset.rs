//! Turns a refused SYN into its RST and sends it back the way it came.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use limiter_common::maps::RESETS_RULE;
use limiter_common::packet::Packet;
use limiter_common::reset::{self, Link, V4_WORDS, V6_WORDS};

use crate::boundary;
use crate::frame::Frame;
use crate::inbound::Refused;
use crate::tables::inbound as tables;

/// The verdict for the frame: sent back as an RST, or dropped where none may be sent, or no more.
///
/// The budget is a rule as others are, with a state for each source and one for all: what it admits is sent.
#[inline(always)]
pub fn reply(frame: &Frame, refused: &Refused) -> u32 {
    if !boundary::admits(&refused.syn, RESETS_RULE) || write(frame, refused).is_none() {
        return XDP_DROP;
    }
    tables::count(refused.rule, |counters| counters.resets += 1);
    XDP_TX
}

/// The VLAN tags between the addresses and the IP header stay as they are.
#[inline(always)]
fn write(frame: &Frame, refused: &Refused) -> Option<()> {
    let syn = &refused.syn;
    let link: Link = frame.read(0)?;
    let acknowledgement = reset::acknowledgement(&link, syn)?;
    let words = if syn.v6 {
        frame.write(syn.ip_offset, reset::ipv6(syn, acknowledgement))?;
        V6_WORDS
    } else {
        frame.write(syn.ip_offset, reset::ipv4(syn, acknowledgement))?;
        V4_WORDS
    };
    frame.write(0, reset::swapped(&link))?;
    frame.truncate(syn.ip_offset + words * 4)
}
