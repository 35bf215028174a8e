//! Whether the shop was kept from where it asked too often, and from nowhere else.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::visits;
use crate::{
    demo::sites::{GOOGLE, OTHER, STACKEXCHANGE},
    visit::Visits,
};

/// All that was seen.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What came of the visits to the shop.
    pub visits: Vec<Visits>,
    /// How many connections to google.com the rule lets through meanwhile.
    pub allowed: RangeInclusive<u64>,
    /// How many connections reached google.com, and stackexchange.com.
    pub guests: [u64; 2],
    /// What a visitor read during the back-off: of google.com, and of a site without a rule.
    pub pages: String,
    /// What `limiterctl why google.com --output json` said then.
    pub why: Value,
    /// What `limiterctl list hosts --output json` said at the end.
    pub hosts: Value,
    /// What came of visits after `limiterctl detach`.
    pub afterwards: Vec<Visits>,
    /// What is left of limiterctl then.
    pub left: Vec<String>,
}

impl Facts {
    /// In what they fall short; empty where the story is true.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut expect = |holds: bool, otherwise: &str| {
            if !holds {
                doubts.push(otherwise.to_owned());
            }
        };
        let [at_google, at_stackexchange] = self.guests;

        match visits(&self.visits, GOOGLE) {
            None => expect(false, "the visitors did not say how it went"),
            Some(Visits { ok, refused, failed, each_second, .. }) => {
                let bound = &self.allowed;
                expect(bound.contains(ok), &format!("google.com was asked {ok} times, not {bound:?}"));
                expect(*failed == 0, &format!("google.com: {failed} visits failed"));
                expect(*ok == at_google, &format!("{ok} got to google.com, {at_google} arrived"));
                // Of three seconds of back-off, two are whole ones.
                let paused = each_second.windows(2).any(|pair| pair == [0, 0]);
                expect(paused, &format!("google.com was never left alone: {each_second:?}"));
                // The page that was read on its own is one more.
                self.expect_host(&mut expect, GOOGLE, at_google, refused + 1);
            }
        }
        match visits(&self.visits, STACKEXCHANGE) {
            None => expect(false, "the visitors did not say how it went with stackexchange.com"),
            Some(Visits { ok, refused, failed, .. }) => {
                let missed = refused + failed;
                expect(missed == 0, &format!("stackexchange.com: {missed} visits failed"));
                expect(*ok == at_stackexchange, &format!("{ok} got there, {at_stackexchange} arrived"));
                self.expect_host(&mut expect, STACKEXCHANGE, at_stackexchange, 0);
            }
        }
        self.expect_host(&mut expect, OTHER, 1, 0);

        expect(
            self.pages.contains("We ask google.com too often")
                && self.pages.contains("Hello from example.org"),
            &format!("the shop showed: {}", self.pages),
        );
        let wait = self.why["retry_after_ms"].as_u64().unwrap_or(0);
        expect((1..=3000).contains(&wait), &format!("why says to wait for {wait} ms"));
        expect(self.why["limits"][0]["refused"] == "backoff", "why knows of no back-off of google.com");

        let freed = visits(&self.afterwards, GOOGLE).is_some_and(|v| v.ok > 0 && v.refused + v.failed == 0);
        expect(freed, &format!("after detach: {:?}", self.afterwards));
        expect(self.left.is_empty(), &format!("detach left behind: {}", self.left.join(", ")));
        doubts
    }

    /// Whether `list hosts` has counted what was seen.
    fn expect_host(&self, expect: &mut impl FnMut(bool, &str), name: &str, allowed: u64, refused: u64) {
        let host = self.hosts.as_array().and_then(|hosts| hosts.iter().find(|host| host["name"] == name));
        let counted = host.map(|host| (host["allowed"].as_u64(), host["refused"].as_u64()));
        expect(
            counted == Some((Some(allowed), Some(refused))),
            &format!("{name}: list says {counted:?}, it was {allowed} and {refused}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Facts;
    use crate::visit::Visits;

    fn visits(host: &str, ok: u64, refused: u64, each_second: &[u64]) -> Visits {
        Visits { host: host.into(), ok, refused, failed: 0, each_second: each_second.to_vec() }
    }

    fn good() -> Facts {
        Facts {
            visits: vec![
                visits("google.com", 125, 75, &[25, 25, 25, 25, 3, 0, 0, 22]),
                visits("stackexchange.com", 80, 0, &[10; 8]),
            ],
            allowed: 40..=200,
            guests: [125, 80],
            pages: "We ask google.com too often\nHello from example.org\n".into(),
            why: json!({"retry_after_ms": 2_900, "limits": [{"refused": "backoff"}]}),
            hosts: json!([
                {"name": "google.com", "allowed": 125, "refused": 76},
                {"name": "stackexchange.com", "allowed": 80, "refused": 0},
                {"name": "example.org", "allowed": 1, "refused": 0},
            ]),
            afterwards: vec![visits("google.com", 50, 0, &[50])],
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
            (|f| f.visits.clear(), "the visitors did not say how it went"),
            (|f| f.visits[0].ok = 201, "google.com was asked 201 times, not 40..=200"),
            (
                |f| f.visits[0].each_second[5] = 1,
                "google.com was never left alone: [25, 25, 25, 25, 3, 1, 0, 22]",
            ),
            (|f| f.guests[0] = 126, "125 got to google.com, 126 arrived"),
            (|f| f.visits[1].refused = 1, "stackexchange.com: 1 visits failed"),
            (|f| f.pages.clear(), "the shop showed: "),
            (|f| f.why = json!(null), "why knows of no back-off of google.com"),
            (|f| f.hosts = json!([]), "example.org: list says None, it was 1 and 0"),
            (|f| f.afterwards.clear(), "after detach: []"),
            (|f| f.left.push("pins".into()), "detach left behind: pins"),
        ];
        for (spoil, doubt) in table {
            let mut facts = good();
            spoil(&mut facts);
            assert!(facts.doubts().iter().any(|said| said == doubt), "{doubt}: {:?}", facts.doubts());
        }
    }
}
