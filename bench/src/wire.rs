//! Nanoseconds a SYN from one end of a wire to the other, beside what people use today.

mod counters;
mod filter;
mod generator;
mod line;
mod tool;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use limiter_common::rule::Action;

use crate::measure::{Case, Measured, in_turns};
use crate::packet::{syn, syn_v6};
use crate::report::{Bound, Check, Section};
use filter::Filter;
use line::Line;

/// The server's interface.
const SERVER: &str = "server0";
/// Its address.
const SERVER_ADDRESS: &str = "192.0.2.1";
/// The first source; no others are known to be elsewhere.
const FIRST: &str = "32.0.0.0";

/// From how many sources, as powers of two.
const ALL: &[u32] = &[0, 16, 20];
const FEW: &[u32] = &[0, 16];
const ONE: &[u32] = &[0];
const MANY: &[u32] = &[16, 20];
/// Where SYNs are made.
const CPU: usize = 0;
/// How long the kernel gets to take a table apart.
const SETTLE: Duration = Duration::from_millis(200);

const FLOOR: &str = "floor: XDP_DROP at once";
const DROP: &str = "limiterctl, drop";
const RESET: &str = "limiterctl, reset";
const XDP_FILTER: &str = "xdp-filter, source blocked";
const NFT_RATE: &str = "nft, set with a rate";
const HASHLIMIT: &str = "iptables hashlimit";
const NFT_COUNT: &str = "nft, ct count";
const CONNLIMIT: &str = "iptables connlimit";
const NO_FILTER: &str = "no filter, listener, no SYN cookies";

/// Name, filter, sources, and frames a measurement: each takes about a tenth of a second.
type Known = (&'static str, Filter, &'static [u32], u32);

const KNOWN: [Known; 11] = [
    (FLOOR, Filter::Floor, ALL, 1 << 19),
    (DROP, Filter::Limiter(Action::Drop), ALL, 1 << 19),
    (RESET, Filter::Limiter(Action::Reset), ALL, 1 << 18),
    (XDP_FILTER, Filter::Blocked, ONE, 1 << 19),
    (NFT_RATE, Filter::NftRate, ALL, 1 << 17),
    (HASHLIMIT, Filter::Hashlimit, ALL, 1 << 17),
    (NFT_COUNT, Filter::NftCount, FEW, 1 << 16),
    (CONNLIMIT, Filter::Connlimit("DROP"), FEW, 1 << 16),
    (
        "iptables connlimit, REJECT by reset",
        Filter::Connlimit("REJECT --reject-with tcp-reset"),
        FEW,
        1 << 16,
    ),
    ("no filter, listener, SYN cookies", Filter::Listener { cookies: true }, FEW, 1 << 16),
    (NO_FILTER, Filter::Listener { cookies: false }, FEW, 1 << 16),
];

/// The same filters with networks of IPv6.
const IPV6: [Known; 2] = [
    ("IPv6, floor: XDP_DROP at once", Filter::Floor, FEW, 1 << 19),
    ("IPv6, limiterctl, drop", Filter::Limiter(Action::Drop), FEW, 1 << 19),
];

/// The same filters behind another generator, and what they are called with the first one.
const PACKETS: [(&str, Known); 3] = [
    (FLOOR, ("by AF_PACKET, floor: XDP_DROP at once", Filter::Floor, FEW, 1 << 15)),
    (DROP, ("by AF_PACKET, limiterctl, drop", Filter::Limiter(Action::Drop), FEW, 1 << 15)),
    (NFT_RATE, ("by AF_PACKET, nft, set with a rate", Filter::NftRate, FEW, 1 << 15)),
];

const NEW_PASSED: &str = "new: limiterctl, passed by it, dropped behind it";
const NEW_STRANGERS: &str = "new: limiterctl, refused as strangers over their budget";

const NEW_TRACKED: [&str; 2] = [
    "new: nft, ct count with room for 15, listener, no SYN cookies",
    "new: iptables connlimit with room for 15, listener, no SYN cookies",
];

/// Each SYN is the first of its source. What lets it pass has a rule behind it that drops.
const NEW: [(&str, Filter, &[u32]); 10] = [
    ("new: floor: XDP_DROP at once", Filter::Floor, MANY),
    (NEW_PASSED, Filter::LimiterThenDrop, MANY),
    (NEW_STRANGERS, Filter::Strangers, MANY),
    ("new: nft, set with a rate", Filter::NftRate, MANY),
    ("new: iptables hashlimit", Filter::Hashlimit, MANY),
    ("new: nft, ct count", Filter::NftCount, MANY),
    ("new: iptables connlimit", Filter::Connlimit("DROP"), MANY),
    (NEW_TRACKED[0], Filter::NftCountRoom, &[16]),
    (NEW_TRACKED[1], Filter::ConnlimitRoom, &[16]),
    ("new: no filter, listener, no SYN cookies", Filter::Listener { cookies: false }, &[16]),
];

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    tool::need(&["ip", "nft", "iptables", "xdp-filter"])?;
    let mut lines = Vec::new();
    for (known, frame) in KNOWN.map(|known| (known, syn())).into_iter().chain(IPV6.map(|v6| (v6, syn_v6()))) {
        let (filter, kind, sources, count) = known;
        for &bits in sources {
            let name = name(filter, bits);
            match Line::new(kind, bits, &frame) {
                // It loads programs of its own, which not every kernel takes.
                Err(error) if kind == Filter::Blocked => eprintln!("  {name} is skipped: {error:#}"),
                line => lines.push((line.context(name.clone())?, name, count)),
            }
        }
    }
    for (_, (filter, kind, sources, count)) in PACKETS {
        for &bits in sources {
            let name = name(filter, bits);
            let line = Line::of_packets(kind, bits, &syn()).context(name.clone())?;
            lines.push((line, name, count));
        }
    }
    let cases = lines.iter_mut().map(|(line, name, count)| {
        let (name, count) = (name.clone(), *count);
        Case::new(name.clone(), move || line.cost(count).with_context(|| name.clone()))
    });
    let mut measured = in_turns("ns", cases.collect(), rounds)?;
    let mut shares = HashMap::new();
    for (line, name, _) in &lines {
        shares.insert(name.clone(), line.share().with_context(|| name.clone())?);
    }
    drop(lines);
    measured.extend(measure_new(rounds)?);

    let mut section = Section {
        name: "wire",
        title: "A SYN, refused at the end of a wire",
        how: "Over a veth, on one processor: a program makes SYNs (`BPF_F_TEST_XDP_LIVE_FRAMES`) and hands them to the other \
              end as a driver would, without an skb; the time is that of the wall clock until that end is done with the last \
              of them, the making included. The filter has seen each source before, so that it refuses; that it has, and that \
              all frames arrived, is counted. `floor` is an XDP program that drops at once. Only filters without XDP have GRO \
              and a packet of the kernel's (skb) before them, as on a NIC. Answers end in an XDP program of the client's. \
              `by AF_PACKET` is the same with a packet socket, which copies each frame into an skb, to see that the generator \
              changes no verdict. `new` cases begin with an empty table, and each SYN is its source's first, which is counted: \
              what a filter has room for it lets pass, and a rule of nft's or iptables' behind it drops it; connlimit and ct \
              count, which allow none, refuse it after they have inserted it, and with room for 15 leave it to conntrack, \
              which counts it, and to a socket whose queue is full. They are measured in a third of the rounds.",
        measured,
        checks: Vec::new(),
        notes: Vec::new(),
        curves: Vec::new(),
    };
    targets(&mut section);
    crosscheck(&mut section, &shares);
    Ok(section)
}

/// On hosts that are made anew each time: what is emptied is not as it was.
fn measure_new(rounds: usize) -> anyhow::Result<Vec<Measured>> {
    let frame = syn();
    let cases = NEW.iter().flat_map(|&(filter, kind, sources)| {
        let frame = &frame;
        sources.iter().map(move |&bits| {
            let name = name(filter, bits);
            Case::new(name.clone(), move || {
                // The kernel may still be taking the last one's table apart.
                thread::sleep(SETTLE);
                Line::cost_of_new(kind, bits, frame).with_context(|| name.clone())
            })
        })
    });
    in_turns("ns", cases.collect(), rounds.div_ceil(3))
}

/// The same packets to the same filter, by another way: as many of them must be refused.
fn crosscheck(section: &mut Section, shares: &HashMap<String, f64>) {
    for (by_live, (by_packets, _, sources, _)) in PACKETS {
        for &bits in sources {
            let [live, packets] = [by_live, by_packets].map(|filter| name(filter, bits));
            let value = shares[&packets] / shares[&live];
            let what = format!("share refused: {packets} / {live}");
            section.checks.push(Check::new("P7", what.clone(), value, Bound::AtMost(1.001)));
            section.checks.push(Check::new("P7", what, value, Bound::AtLeast(0.999)));
        }
    }
}

fn targets(section: &mut Section) {
    let mut hold = |target, case: &str, base: &str, bits, bound| {
        section.hold(target, &name(case, bits), &name(base, bits), bound);
    };
    hold("P7", DROP, FLOOR, 0, Bound::AtMost(1.4));
    hold("P7", DROP, FLOOR, 16, Bound::AtMost(2.0));
    for case in [NFT_RATE, HASHLIMIT] {
        for (bits, least) in [(0, 3.5), (16, 3.5), (20, 8.0)] {
            hold("P8", case, DROP, bits, Bound::AtLeast(least));
        }
    }
    for case in [NFT_COUNT, CONNLIMIT] {
        for (bits, least) in [(0, 8.0), (16, 18.0)] {
            hold("P9", case, DROP, bits, Bound::AtLeast(least));
        }
    }
    // What is known costs a rival less than what it has to insert, so both are held to the same bounds.
    for ours in [NEW_STRANGERS, NEW_PASSED] {
        let mut hold = |target, case: &str, bits, least| {
            section.hold(target, &name(case, bits), &name(ours, bits), Bound::AtLeast(least));
        };
        for case in [NFT_RATE, HASHLIMIT].map(|case| format!("new: {case}")) {
            hold("P8", &case, 16, 3.5);
            hold("P8", &case, 20, 8.0);
        }
        for case in [NFT_COUNT, CONNLIMIT].map(|case| format!("new: {case}")) {
            hold("P9", &case, 16, 18.0);
        }
        for case in NEW_TRACKED {
            hold("P9", case, 16, 18.0);
        }
    }
    if section.measured.iter().any(|case| case.name == name(XDP_FILTER, 0)) {
        section.hold("P7", &name(DROP, 0), &name(XDP_FILTER, 0), Bound::AtMost(1.1));
    }
}

/// A case's name.
fn name(filter: &str, bits: u32) -> String {
    let sources = match bits {
        0 => "1 source",
        16 => "65,536 sources",
        _ => "1,048,576 sources",
    };
    format!("{filter}, {sources}")
}
