//! Turns a refused SYN into its RST and sends it back the way it came.

use limiter_common::maps::RESETS_RULE;
use limiter_common::packet::{self, Headers, Packet, Syn};
use limiter_common::reset::{self, Link, V4_WORDS, V6_WORDS};

use crate::boundary::{self, Source};
use crate::frame::Frame;
use crate::inbound::outcome::Outcome;
use crate::inbound::{self, Rates};
use crate::tables::inbound as tables;

/// Why no reply was written.
pub enum Unwritten {
    /// None may be sent, or no more.
    Silent,
    /// The budget has to be asked by [`judge`], and was charged for all sources already or not.
    Unjudged { is_charged: bool },
}

/// Turns the frame into an RST, unless none may be sent, or no more. The budget is asked unless that `is_judged`.
#[inline(always)]
pub fn reply(frame: &Frame, headers: &Headers, rule: u32, is_judged: bool) -> Result<(), Unwritten> {
    write(frame, headers, is_judged)?;
    tables::count(rule, |counters| counters.resets += 1);
    Ok(())
}

/// Asks the budget where that could not be done at once; says whether a reply may be sent.
#[inline(always)]
pub fn judge(frame: &Frame, headers: &Headers, is_charged: bool) -> bool {
    packet::read(frame, headers).is_some_and(|syn| {
        boundary::judge_rates(&source(&syn), Rates { is_charged, ..Rates::default() }) == Outcome::ADMIT
    })
}

#[inline(always)]
const fn source(syn: &Syn) -> Source {
    Source { address: syn.source, rule: RESETS_RULE, v6: syn.v6 }
}

/// Each IP version by itself: where it is known, the compiler leaves most of what follows out.
#[inline(always)]
fn write(frame: &Frame, headers: &Headers, is_judged: bool) -> Result<(), Unwritten> {
    if headers.v6 {
        write_version(frame, &Headers { v6: true, ..*headers }, is_judged)
    } else {
        write_version(frame, &Headers { v6: false, ..*headers }, is_judged)
    }
}

/// The budget is a rule as others are, with a state for each source and one for all: what it admits is sent.
///
/// The VLAN tags between the addresses and the IP header stay as they are.
#[inline(always)]
fn write_version(frame: &Frame, headers: &Headers, is_judged: bool) -> Result<(), Unwritten> {
    let link: Link = frame.read(0).ok_or(Unwritten::Silent)?;
    let syn = packet::read(frame, headers).ok_or(Unwritten::Silent)?;
    let acknowledgement = reset::acknowledgement(&link, &syn).ok_or(Unwritten::Silent)?;
    if !is_judged {
        match inbound::judge_budget(&source(&syn)) {
            Ok(Outcome::ADMIT) => {}
            Ok(_) => return Err(Unwritten::Silent),
            // Not from here: one below the other, these functions would take more stack than there is.
            Err(is_charged) => return Err(Unwritten::Unjudged { is_charged }),
        }
    }
    write_reply(frame, &syn, acknowledgement).ok_or(Unwritten::Silent)
}

#[inline(always)]
fn write_reply(frame: &Frame, syn: &Syn, acknowledgement: u32) -> Option<()> {
    let words = if syn.v6 {
        frame.write(syn.ip_offset, reset::ipv6(syn, acknowledgement))?;
        V6_WORDS
    } else {
        frame.write(syn.ip_offset, reset::ipv4(syn, acknowledgement))?;
        V4_WORDS
    };
    // Read again: kept across the calls above, it would take more room on the stack than there is use for it.
    frame.write(0, reset::swapped(&frame.read(0)?))?;
    frame.truncate(syn.ip_offset + words * 4)
}
