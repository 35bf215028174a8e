//! Says when a flood begins and when it ends.

use super::live;
use crate::bpf::Pins;
use crate::clock;
use crate::events;
use crate::flood::Floods;
use crate::state::RuleState;
use crate::table;

/// Watches the rules with a budget for strangers.
pub struct Alarm {
    floods: Floods,
    /// Name and number of a rule, and since when a flood goes on there.
    rules: Vec<(String, u32, Option<u64>)>,
}

impl Alarm {
    /// Of what is pinned; `None` where no rule tells strangers apart.
    ///
    /// # Errors
    ///
    /// Where the maps are not there.
    pub fn new(rules: &[RuleState], pins: &Pins) -> anyhow::Result<Option<Self>> {
        let rules = rules.iter().filter(|rule| rule.strangers_rate.is_some());
        let rules: Vec<_> = rules.map(|rule| (rule.name.clone(), rule.number, None)).collect();
        if rules.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { floods: Floods::pinned(pins)?, rules }))
    }

    /// Looks once; it is enough to do so every second.
    pub fn look(&mut self) {
        let now = clock::now();
        for (name, number, before) in &mut self.rules {
            let since = self.floods.since(*number, now);
            match (*before, since) {
                (None, Some(_)) => {
                    let text = format!("{name}: a flood of strangers began; who is known is still served");
                    live::say(&text);
                    events::state("flood_began", text);
                }
                (Some(begun), None) => {
                    let lasted = table::seconds(now.saturating_sub(begun) / 1_000_000);
                    let text = format!("{name}: the flood of strangers is over, after {lasted}");
                    live::say(&text);
                    events::state("flood_ended", text);
                }
                _ => {}
            }
            *before = since;
        }
    }
}
