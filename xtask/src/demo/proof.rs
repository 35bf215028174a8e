//! Whether what happened is what the page says.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::connect::{Tally, got_in, refused};

/// All that the demo saw.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What came of the attack, by target.
    pub attack: Vec<Tally>,
    /// How many of a target's attempts the rule lets through while the attack lasts.
    pub allowed: RangeInclusive<u64>,
    /// How often the client asked for the page.
    pub asked: u64,
    /// How often it got the page.
    pub served: u64,
    /// Whether the attack still went on when the client was done.
    pub meanwhile: bool,
    /// What `limiterctl status --output json` says after that.
    pub status: Value,
    /// What came of the same attacker's attempts after `limiterctl detach`.
    pub afterwards: Vec<Tally>,
    /// What is left of limiterctl then.
    pub left: Vec<String>,
}

impl Facts {
    /// In what they fall short; empty where the story is true.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut expect = |holds: bool, otherwise: String| {
            if !holds {
                doubts.push(otherwise);
            }
        };

        expect(!self.attack.is_empty(), "the attacker did not say how it went".into());
        for tally in &self.attack {
            let Tally { target, got_in, refused, failed, .. } = tally;
            expect(
                self.allowed.contains(got_in),
                format!("{target}: the attacker got in {got_in} times, not {:?}", self.allowed),
            );
            expect(
                *refused > 10 * got_in,
                format!("{target}: the attacker was refused only {refused} times"),
            );
            expect(*failed == 0, format!("{target}: {failed} of the attacker's attempts had no answer"));
        }
        expect(self.served == self.asked, format!("the client got {} of {} pages", self.served, self.asked));
        expect(self.meanwhile, "the attack ended before the client was done".into());

        let rule = &self.status["rules"][0];
        for (what, counted, sent) in [
            ("passed", &rule["passed"], got_in(&self.attack) + self.served),
            ("refused", &rule["refused"]["rate"], refused(&self.attack)),
            ("sources", &rule["sources"], 2 * self.attack.len() as u64),
        ] {
            expect(counted.as_u64() == Some(sent), format!("status says {what} {counted}, sent were {sent}"));
        }

        expect(!self.afterwards.is_empty(), "the attacker did not say how it went after detach".into());
        for Tally { target, refused, failed, .. } in &self.afterwards {
            expect(
                refused + failed == 0,
                format!("{target}: after detach, {} attempts did not get in", refused + failed),
            );
        }
        expect(self.left.is_empty(), format!("detach left behind: {}", self.left.join(", ")));
        doubts
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Facts;
    use crate::connect::Tally;

    fn tally(target: &str, got_in: u64, refused: u64) -> Tally {
        Tally { target: target.parse().unwrap(), got_in, refused, failed: 0, median: None }
    }

    fn good() -> Facts {
        let (v4, v6) = ("192.0.2.80:80", "[2001:db8:2::80]:80");
        Facts {
            attack: vec![tally(v4, 14, 50_000), tally(v6, 13, 49_999)],
            allowed: 10..=15,
            asked: 10,
            served: 10,
            meanwhile: true,
            status: json!({"rules": [{"passed": 37, "refused": {"rate": 99_999, "total": 0}, "sources": 4}]}),
            afterwards: vec![tally(v4, 100, 0), tally(v6, 100, 0)],
            left: Vec::new(),
        }
    }

    #[test]
    fn a_true_story_leaves_no_doubt() {
        assert_eq!(good().doubts(), Vec::<String>::new());
    }

    #[test]
    fn each_way_to_fall_short_is_said() {
        type Spoil = fn(&mut Facts);
        let table: [(Spoil, &str); 10] = [
            (|f| f.attack.clear(), "the attacker did not say how it went"),
            (|f| f.attack[0].got_in = 16, "192.0.2.80:80: the attacker got in 16 times, not 10..=15"),
            (|f| f.attack[1].refused = 7, "[2001:db8:2::80]:80: the attacker was refused only 7 times"),
            (|f| f.attack[1].failed = 1, "[2001:db8:2::80]:80: 1 of the attacker's attempts had no answer"),
            (|f| f.served = 9, "the client got 9 of 10 pages"),
            (|f| f.meanwhile = false, "the attack ended before the client was done"),
            (|f| f.status["rules"][0]["passed"] = json!(36), "status says passed 36, sent were 37"),
            (|f| f.status = json!(null), "status says refused null, sent were 99999"),
            (|f| f.afterwards[0].refused = 2, "192.0.2.80:80: after detach, 2 attempts did not get in"),
            (|f| f.left.push("a program on eth0".into()), "detach left behind: a program on eth0"),
        ];
        for (spoil, doubt) in table {
            let mut facts = good();
            spoil(&mut facts);
            assert!(facts.doubts().iter().any(|said| said == doubt), "{doubt}: {:?}", facts.doubts());
        }
    }
}
