//! What a cost does as there is more of something: sources, rules, names, addresses.

use anyhow::ensure;
use limiter_common::maps::{DEFAULT_SOURCES, MAX_RULES};
use limiter_tests::net::Sandbox;
use limiter_tests::wire::pin;
use limiter_user::policy::InboundRule;

use crate::connect;
use crate::measure::{Case, Measured, in_turns};
use crate::packet::{PORT, Scene, closed, rule, syn_to};
use crate::report::{Curve, Section, thousands};

/// Frames a measurement.
const REPEAT: u32 = 1_000_000;
/// Powers of two about as far apart as powers of ten: a stream has no other numbers of sources.
const SOURCES: [u32; 7] = [0, 3, 7, 10, 13, 17, 20];
const RULES: [u16; 5] = [1, 4, 16, 64, MAX_RULES as u16 - 1];

/// Measures it.
pub fn measure(rounds: usize) -> anyhow::Result<Section> {
    let (mut curves, mut measured) = (Vec::new(), Vec::new());
    Sandbox::new().run(|| {
        pin(0);
        sources(rounds, &mut curves, &mut measured)?;
        rules(rounds, &mut curves, &mut measured)
    })?;
    connect::growth::measure(rounds, &mut curves, &mut measured)?;
    Ok(Section {
        name: "growth",
        title: "A cost, as there is more of something",
        how: "A SYN by `BPF_PROG_TEST_RUN`, as above: from sources at random, all of them known and over their rate; or passed \
              by the last of many rules. A UDP connect as above, of which some 1.1 us are the kernel's own: to addresses in \
              turn, each with a name of its own, or all with one name, or to one address of a name that the last of many \
              rules lists. Lines go through medians; what stands across is from the least to the greatest. What fits into \
              each table is in the title of its plot.",
        measured,
        checks: Vec::new(),
        notes: Vec::new(),
        curves,
    })
}

fn sources(rounds: usize, curves: &mut Vec<Curve>, measured: &mut Vec<Measured>) -> anyhow::Result<()> {
    let mut curve = Curve::new(
        "sources",
        format!("A SYN refused, room for {} sources", thousands(DEFAULT_SOURCES)),
        ["source", "sources"],
    );
    let mut scenes = Vec::new();
    for bits in SOURCES {
        let name = curve.point("SYN judged", 1 << bits);
        scenes.push((name, Scene::streamed(vec![closed()], bits, false)?));
    }
    measured.extend(in_turns("ns", cases(&mut scenes), rounds)?);
    for (name, scene) in &scenes {
        let (counted, judged) = (scene.counted()?, rounds as u64 * u64::from(REPEAT));
        ensure!(counted.passed + counted.refused >= judged, "{name}: {counted:?} of {judged}");
    }
    curves.push(curve);
    Ok(())
}

fn rules(rounds: usize, curves: &mut Vec<Curve>, measured: &mut Vec<Measured>) -> anyhow::Result<()> {
    let title = format!("A SYN passed by the last rule, of {} at the most", MAX_RULES - 1);
    let mut curve = Curve::new("rules", title, ["rule", "rules"]);
    let mut scenes = Vec::new();
    for count in RULES {
        let ports = PORT..PORT + count;
        let rules = ports.map(|port| Ok(InboundRule { ports: port.to_string().parse()?, ..rule() }));
        let rules = rules.collect::<anyhow::Result<Vec<_>>>()?;
        let name = curve.point("SYN passed by the last rule", count.into());
        scenes.push((name, Scene::new(rules, syn_to(PORT + count - 1))?));
    }
    measured.extend(in_turns("ns", cases(&mut scenes), rounds)?);
    for (name, scene) in &scenes {
        let (counted, judged) = (scene.counted()?, rounds as u64 * u64::from(REPEAT));
        ensure!(counted.passed >= judged, "{name}: {counted:?} of {judged}");
    }
    curves.push(curve);
    Ok(())
}

fn cases(scenes: &mut [(String, Scene)]) -> Vec<Case<'_>> {
    let cases = scenes.iter_mut().map(|(name, scene)| Case::new(name.clone(), || scene.cost(REPEAT)));
    cases.collect()
}
