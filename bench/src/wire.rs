//! Nanoseconds a SYN from one end of a wire to the other, beside what people use today.

mod counters;
mod filter;
mod line;
mod tool;

use anyhow::Context as _;
use limiter_common::rule::Action;

use crate::measure::{Case, in_turns};
use crate::report::{Bound, Section};
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

const FLOOR: &str = "floor: XDP_DROP at once";
const DROP: &str = "limiterctl, drop";
const RESET: &str = "limiterctl, reset";
const XDP_FILTER: &str = "xdp-filter, source blocked";
const NFT_RATE: &str = "nft, set with a rate";
const HASHLIMIT: &str = "iptables hashlimit";
const NFT_COUNT: &str = "nft, ct count";
const CONNLIMIT: &str = "iptables connlimit";

/// Name, filter, sources, and frames a measurement: each takes about a tenth of a second.
const CASES: [(&str, Filter, &[u32], u32); 11] = [
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
    ("no filter, listener, no SYN cookies", Filter::Listener { cookies: false }, FEW, 1 << 16),
];

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    tool::need(&["ip", "nft", "iptables", "xdp-filter"])?;
    let mut lines = Vec::new();
    for (filter, kind, sources, count) in CASES {
        for &bits in sources {
            let name = name(filter, bits);

            match Line::new(kind, bits) {
                // It loads programs of its own, which not every kernel takes.
                Err(error) if kind == Filter::Blocked => eprintln!("  {name} is skipped: {error:#}"),
                line => lines.push((line.context(name.clone())?, name, count)),
            }
        }
    }
    let cases = lines.iter_mut().map(|(line, name, count)| {
        let (name, count) = (name.clone(), *count);
        Case::new(name.clone(), move || line.cost(count).with_context(|| name.clone()))
    });
    let measured = in_turns("ns", cases.collect(), rounds)?;
    for (line, name, _) in &lines {
        line.check().with_context(|| name.clone())?;
    }

    let mut section = Section {
        name: "wire",
        title: "A SYN, refused at the end of a wire",
        how: "Over a veth, on one processor: a program makes SYNs (`BPF_F_TEST_XDP_LIVE_FRAMES`) and hands them to the other \
              end as a driver would, without an skb; the time is that of the wall clock until that end is done with the last \
              of them, the making included. The filter has seen each source before, so that it refuses; that it has, and that \
              all frames arrived, is counted. `floor` is an XDP program that drops at once. Only filters without XDP have GRO \
              and a packet of the kernel's (skb) before them, as on a NIC. Answers end in an XDP program of the client's.",
        measured,
        checks: Vec::new(),
        notes: Vec::new(),
    };
    targets(&mut section);
    Ok(section)
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
