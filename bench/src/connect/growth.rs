//! What a connect costs as more names, addresses and rules are known.

use limiter_common::maps::{MAX_HOST_RULES, MAX_HOSTS, MAX_UNLISTED};
use limiter_common::outbound::FIRST_RULE;
use limiter_tests::net::Sandbox;
use limiter_tests::wire::pin;

use super::LOOP;
use super::limiter::Limiter;
use super::place::{MANY, ONE, OTHER_CPU, Place};
use super::protocol::{Addresses, Job};
use super::scene::{PLENTY, Scene, asked};
use crate::measure::{Case, Measured, in_turns};
use crate::report::{Curve, thousands};

/// An LRU hash evicts before it is full, so these stay below its size.
const NAMES: [u32; 6] = [1, 10, 100, 1_000, 10_000, 50_000];
const ADDRESSES: [u32; 6] = [1, 10, 100, 1_000, 10_000, MANY.count];
const RULES: [u32; 5] = [2, 10, 100, 1_000, MOST_RULES];
const MOST_RULES: u32 = MAX_HOST_RULES - FIRST_RULE;

/// Measures it, and adds what was measured to the rest.
pub fn measure(rounds: usize, curves: &mut Vec<Curve>, measured: &mut Vec<Measured>) -> anyhow::Result<()> {
    Sandbox::new().run(|| {
        pin(OTHER_CPU);
        let place = Place::new()?;
        let title = format!(
            "A UDP connect, names of one address each, counters for {} names",
            thousands(MAX_HOSTS.into())
        );
        let names = Growing {
            curve: Curve::new("names", title, ["name", "names"]),
            what: "UDP connect to names in turn",
            counts: &NAMES,
            limiter: |count| {
                let mut limiter = Limiter::new(PLENTY)?;
                limiter.learn_names(count, 1)?;
                Ok((limiter, Addresses { count, ..MANY }))
            },
        };
        let title = format!(
            "A UDP connect, addresses of one name, room for {} addresses",
            thousands(MAX_UNLISTED.into())
        );
        let addresses = Growing {
            curve: Curve::new("addresses", title, ["address", "addresses"]),
            what: "UDP connect to addresses in turn",
            counts: &ADDRESSES,
            limiter: |count| {
                let mut limiter = Limiter::new(PLENTY)?;
                limiter.learn_names(1, count)?;
                Ok((limiter, Addresses { count, ..MANY }))
            },
        };
        let title =
            format!("A UDP connect, held by the last rule, of {} at the most", thousands(MOST_RULES.into()));
        let rules = Growing {
            curve: Curve::new("outbound-rules", title, ["rule", "rules"]),
            what: "UDP connect held by the last rule",
            counts: &RULES,
            limiter: |count| Ok((Limiter::with_rules(PLENTY, count, ONE.first)?, ONE)),
        };
        for growing in [names, addresses, rules] {
            growing.measure(&place, rounds, curves, measured)?;
        }
        Ok(())
    })
}

/// Something of which there is more and more.
struct Growing<'a> {
    curve: Curve,
    what: &'static str,
    counts: &'a [u32],
    /// limiterctl that knows so many, and what is connected to.
    limiter: fn(u32) -> anyhow::Result<(Limiter, Addresses)>,
}

impl Growing<'_> {
    fn measure(
        mut self,
        place: &Place,
        rounds: usize,
        curves: &mut Vec<Curve>,
        measured: &mut Vec<Measured>,
    ) -> anyhow::Result<()> {
        let mut scenes = Vec::new();
        for &count in self.counts {
            let (limiter, to) = (self.limiter)(count)?;
            let name = self.curve.point(self.what, count.into());
            scenes.push((name, Scene::with(place, limiter)?, to));
        }
        let cases = scenes.iter().map(|(name, scene, to)| {
            Case::new(name.clone(), || scene.measure(&Job::UdpConnect(None), *to, LOOP, asked))
        });
        measured.extend(in_turns("ns", cases.collect(), rounds)?);
        curves.push(self.curve);
        Ok(())
    }
}
