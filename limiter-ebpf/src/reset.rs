//! Turns a refused SYN into its RST and sends it back the way it came.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use limiter_common::maps::RESETS_RULE;
use limiter_common::packet::{self, Headers, Packet};
use limiter_common::reset::{self, Link, V4_WORDS, V6_WORDS};

use crate::boundary::{self, Source};
use crate::frame::Frame;
use crate::inbound::{Outcome, Rates};
use crate::tables::inbound as tables;

/// The verdict for the frame: sent back as an RST, or dropped where none may be sent, or no more.
#[inline(always)]
pub fn reply(frame: &Frame, headers: &Headers, rule: u32) -> u32 {
    if write(frame, headers).is_none() {
        return XDP_DROP;
    }
    tables::count(rule, |counters| counters.resets += 1);
    XDP_TX
}

/// Each IP version by itself: where it is known, the compiler leaves most of what follows out.
#[inline(always)]
fn write(frame: &Frame, headers: &Headers) -> Option<()> {
    if headers.v6 {
        write_version(frame, &Headers { v6: true, ..*headers })
    } else {
        write_version(frame, &Headers { v6: false, ..*headers })
    }
}

/// The budget is a rule as others are, with a state for each source and one for all: what it admits is sent.
///
/// The VLAN tags between the addresses and the IP header stay as they are.
#[inline(always)]
fn write_version(frame: &Frame, headers: &Headers) -> Option<()> {
    let link: Link = frame.read(0)?;
    let syn = packet::read(frame, headers)?;
    let acknowledgement = reset::acknowledgement(&link, &syn)?;
    let source = Source { address: syn.source, rule: RESETS_RULE, v6: syn.v6 };
    let rates = Rates { may_be_at_once: true, ..Rates::default() };
    if boundary::judge_rates(&source, rates) != Outcome::Admit {
        return None;
    }
    let words = if syn.v6 {
        frame.write(syn.ip_offset, reset::ipv6(&syn, acknowledgement))?;
        V6_WORDS
    } else {
        frame.write(syn.ip_offset, reset::ipv4(&syn, acknowledgement))?;
        V4_WORDS
    };
    // Read again: kept across the calls above, it would take more room on the stack than there is use for it.
    frame.write(0, reset::swapped(&frame.read(0)?))?;
    frame.truncate(syn.ip_offset + words * 4)
}
