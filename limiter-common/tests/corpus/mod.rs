//! DNS answers to begin with: what servers send, and what only an attacker would. Each knows what it teaches.
//!
//! Shared by the tests on the host, those of the kernel's program, and the fuzzer.

mod answer;
pub mod mutate;

use std::net::Ipv6Addr;

use limiter_common::dns::{MAX_RECORDS, Unread};
use limiter_common::key::Address;

pub use answer::Answer;

/// An answer, and what is to be read in it.
#[derive(Debug, Clone)]
pub struct Seed {
    /// What is special about it; also a file name.
    pub what: &'static str,
    /// Its bytes.
    pub message: Vec<u8>,
    /// The addresses in it, with their TTLs.
    pub addresses: Vec<(Address, u32)>,
    /// How reading it ends.
    pub end: Result<(), Unread>,
}

const V4: [u8; 4] = [192, 0, 2, 1];
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

/// All of them.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = honest();
    seeds.extend(pointers());
    seeds.extend(limits());
    seeds
}

fn honest() -> Vec<Seed> {
    vec![
        Answer::to("plain.test").a(V4, 60).seed("plain"),
        Answer::to("listed.test").a(V4, 60).a([192, 0, 2, 2], 0).seed("listed"),
        Answer::to("a.b.wild.test").a(V4, 86_400).aaaa(V6, 604_800).seed("wildcard"),
        ordinary().seed("ordinary"),
        Answer::to("LiSTeD.tEsT").aaaa(V6, 300).seed("mixed-case"),
        Answer::to("edns.test").a(V4, 300).opt(1232).seed("edns"),
        Answer::to("none.test").seed("no-records"),
        Answer::to("other.test")
            .record(16, 1, 60, b"\x05hello")
            .record(1, 3, 60, &V4)
            .record(28, 1, 60, &V4)
            .record(1, 1, 60, &V6.octets())
            .record(257, 1, 60, &[0, 5])
            .a([192, 0, 2, 9], u32::MAX)
            .seed("other-types"),
        Answer::to("bytes\\000.\\255\\001.test").a(V4, 60).seed("odd-bytes"),
    ]
}

/// What most answers look like: an alias, and addresses of both kinds behind it.
pub fn ordinary() -> Answer {
    Answer::to("www.example.test")
        .cname("edge.cdn.example.test", 300)
        .owned_by("edge.cdn.example.test")
        .a([198, 51, 100, 7], 60)
        .aaaa(V6, 60)
}

fn pointers() -> Vec<Seed> {
    // The first owner lies behind the question: 12 bytes of header, the name, type and class.
    let first = 12 + ("loop.test".len() as u16 + 2) + 4;
    vec![
        Answer::to("loop.test").pointing_to(first).a(V4, 60).seed("pointer-to-itself"),
        Answer::to("forward.test").pointing_to(0x3fff).a(V4, 60).seed("pointer-forward"),
        Answer::to("header.test").pointing_to(0).a(V4, 60).seed("pointer-into-the-header"),
        Answer::to("tail.test")
            .owner(b"\x03www\xc0\x0c")
            .a(V4, 60)
            .aaaa(V6, 60)
            .seed("pointer-behind-a-label"),
        Answer::to("chain.test")
            .cname("b.chain.test", 60)
            .owned_by("b.chain.test")
            .cname("c.chain.test", 60)
            .owned_by("c.chain.test")
            .a(V4, 60)
            .seed("chain"),
        Answer::to("kind.test")
            .a(V4, 60)
            .owner(&[0x80])
            .fails(Unread::BadRecord)
            .a(V4, 60)
            .seed("owner-of-no-kind"),
    ]
}

fn limits() -> Vec<Seed> {
    let v4 = |count: u8| (0..count).fold(Answer::to("many.test"), |m, i| m.a([203, 0, 113, i], 60));
    let long = format!("{}.{}", ["abc"; 62].join("."), "wxyza"); // 253 with dots, 255 in wire form
    vec![
        v4(MAX_RECORDS as u8).seed("64-records"),
        v4(MAX_RECORDS as u8 + 1).seed("65-records"),
        sixty_four_v6("six.test").seed("64-aaaa"),
        Answer::to(&long).owned_by(&long).a(V4, 60).seed("longest-name"),
        Answer::to(&format!("{long}x")).fails(Unread::BadName).a(V4, 60).seed("longer-name"),
        Answer::to(&most_labels()).a(V4, 60).seed("most-labels"),
        most_steps("steps.test").seed("most-steps"),
        most_steps(&most_labels()).seed("most-labels-and-steps"),
        Answer::to("").fails(Unread::BadName).a(V4, 60).seed("root"),
        v4(2).counting(3).fails(Unread::Truncated).seed("a-record-less"),
        v4(2).counting(u16::MAX).fails(Unread::Truncated).seed("count-at-its-most"),
    ]
}

/// As many addresses as are read, of the longer kind.
pub fn sixty_four_v6(name: &str) -> Answer {
    (0..MAX_RECORDS as u16)
        .fold(Answer::to(name), |m, i| m.aaaa(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, i), 60))
}

/// As many labels as a name can have, under a name that is listed with all below it.
pub fn most_labels() -> String {
    format!("{}.w.t", ["a"; 125].join("."))
}

/// Owner names with as many labels as all records together may have: twice 127, and their ends.
pub fn most_steps(name: &str) -> Answer {
    let owner = ["a"; 127].join(".");
    (0..2).fold(Answer::to(name).owned_by(&owner), |m, i| m.a([198, 51, 100, i], 60))
}
