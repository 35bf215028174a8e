//! The same for people.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width};
use limiter_common::verdict::Reason;

use super::{InterfaceStatus, Mode, Status};
use crate::state::Again;
use crate::table;

/// How much of a rule's name stands on one line whatever else a terminal has no room for.
const MOST_NAME: usize = 24;
/// At each side of what stands in a table.
const PADDING: u16 = 1;

impl Status {
    /// For people, a line each: whether it is in force, where it is attached, where not, and until when.
    pub fn places(&self) -> Vec<String> {
        let mut lines = self.proof_lines();
        for InterfaceStatus { attached, active } in &self.interfaces {
            let gone = if *active { "" } else { "; NOT ATTACHED ANY MORE" };
            lines.push(format!("{}: {} XDP{gone}", attached.name, attached.xdp_mode));
            if let Some(why) = &attached.why_generic {
                lines.push(format!("  not native: {why}"));
            }
            lines.extend(attached.again.as_ref().map(Again::line));
        }
        if let Some(time) = &self.detaches_at {
            lines.push(format!("detaches at {time}, unless you say: limiterctl confirm"));
        }
        if self.daemon_pid.is_none() {
            lines.push("the daemon is gone; its limits still hold (limiterctl detach removes them)".into());
        }
        if let Some(outbound) = &self.outbound {
            lines.extend(outbound.cgroup_lines(self.daemon_pid.is_some()));
        }
        lines.extend(self.waits.iter().map(ToString::to_string));
        lines
    }

    /// For people: interfaces, rules, and what is worth a word.
    pub fn table(&self) -> String {
        let mut lines = self.places();
        lines.push(String::new());
        if !self.rules.is_empty() {
            lines.push(self.rules_table().to_string());
        }
        if let Some(outbound) = &self.outbound {
            lines.push(outbound.rules_table().to_string());
            lines.extend(outbound.remarks());
        }
        if let Some(connections) = &self.connections {
            lines.extend(connections.remarks(self.rules.iter().map(|rule| &rule.rule)));
        }
        for rule in self.rules.iter().filter(|rule| rule.rule.monitor) {
            lines.push(format!("{}: monitor mode, what is refused here went through", rule.rule.name));
        }
        for rule in &self.rules {
            let refused = rule.refused[Reason::Strangers.as_str()];
            if let Some(since) = &rule.flood_since {
                let since = table::whole_seconds(since);
                lines.push(format!("{}: FLOOD of strangers since {since}", rule.rule.name));
            }
            if refused > 0 {
                lines.push(format!(
                    "{}: {refused} of sources without a handshake were refused",
                    rule.rule.name
                ));
            }
        }
        let silent = self.resets.silent_source + self.resets.silent_total;
        if silent > 0 {
            lines.push(format!("{silent} refused in silence, because the budget for resets was used up"));
        }
        for rule in &self.rules {
            let denied = rule.refused[Reason::Denied.as_str()];
            if rule.allowed + denied > 0 {
                lines.push(format!(
                    "{}: by the lists, {} passed and {denied} were refused",
                    rule.rule.name, rule.allowed
                ));
            }
        }
        for rule in self.rules.iter().filter(|rule| rule.evictions > 0) {
            lines.push(format!(
                "{}: {} sources pushed out others that were not idle",
                rule.rule.name, rule.evictions
            ));
        }
        for rule in &self.rules {
            let contention = rule.refused[Reason::Contention.as_str()];
            if contention > 0 {
                lines
                    .push(format!("{}: {contention} refused because other CPUs were faster", rule.rule.name));
            }
        }
        for (skip, count) in self.skipped.iter().filter(|(_, count)| **count > 0) {
            lines.push(format!("not judged, {skip}: {count}"));
        }
        lines.join("\n")
    }

    /// Whether limits hold, and how that is known.
    fn proof_lines(&self) -> Vec<String> {
        let Some(proof) = &self.proof else { return Vec::new() };
        let at = table::whole_seconds(&proof.at);
        let mut lines = vec![match (&proof.failure, self.mode) {
            (Some(failure), _) => format!("NOT ENFORCING: {failure}; proved last at {at}"),
            (None, Mode::Enforce) if !self.enforcing => {
                format!(
                    "NOT ENFORCING all that was asked for: what is missing is said below; proved last at {at}"
                )
            }
            (None, Mode::Enforce) => format!("enforcing: proved at {at}"),
            (None, _) => format!("monitoring: proved at {at}; what is refused goes through"),
        }];
        lines.extend(proof.untried.iter().map(|what| format!("  not tried: {what}")));
        lines
    }

    fn rules_table(&self) -> Table {
        let limits_open = self.rules.iter().any(|rule| rule.rule.max_open.is_some());
        let mut reasons = vec![Reason::Rate, Reason::Backoff, Reason::Total];
        reasons.extend(limits_open.then_some(Reason::Open));
        let mut header = vec!["rule", "ports", "passed"];
        header.extend(reasons.iter().map(|reason| reason.as_str()));
        header.push("sources");
        header.extend(limits_open.then_some("held"));
        let mut table = table::new(header);
        for rule in &self.rules {
            let mut row = vec![rule.rule.name.clone(), rule.rule.ports.join(","), rule.passed.to_string()];
            row.extend(reasons.iter().map(|reason| rule.refused[reason.as_str()].to_string()));
            row.push(rule.sources.to_string());
            row.extend(limits_open.then(|| rule.open.map(|open| open.to_string()).unwrap_or_default()));
            table.add_row(row);
        }
        // Else a narrow terminal breaks names in the middle of a word.
        let longest = self.rules.iter().map(|rule| rule.rule.name.len()).max().unwrap_or_default();
        if let Some(names) = table.column_mut(0) {
            let width = longest.min(MOST_NAME) as u16 + 2 * PADDING;
            names.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}
