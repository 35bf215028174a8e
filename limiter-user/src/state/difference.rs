//! What changes from one configuration to the next, in words.

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

use super::{HostRuleState, OutboundState, RuleState, State};

/// A line for each change; none where nothing is different.
pub fn difference(before: &State, after: &State) -> Vec<String> {
    let mut lines = Vec::new();
    members(&mut lines, "interface", &before.wanted.interfaces, &after.wanted.interfaces);
    named(&mut lines, "rule", &before.rules, &after.rules, |rule: &RuleState| rule.name.clone());
    members(&mut lines, "allowed", &before.lists.allow, &after.lists.allow);
    members(&mut lines, "denied", &before.lists.deny, &after.lists.deny);

    let nothing =
        OutboundState { cgroups: Vec::new(), rules: Vec::new(), errno: String::new(), monitor: false };
    let [old, new] = [before, after].map(|state| state.outbound.as_ref().unwrap_or(&nothing));
    members(&mut lines, "cgroup", &before.wanted.cgroups, &after.wanted.cgroups);
    named(&mut lines, "destinations", &old.rules, &new.rules, HostRuleState::called);
    if before.outbound.is_some() && after.outbound.is_some() {
        value(&mut lines, "destinations: errno", &old.errno, &new.errno);
        value(&mut lines, "destinations: monitor", &old.monitor, &new.monitor);
    }
    let [old, new] = [before, after].map(|state| state.app_group.as_deref().unwrap_or("none"));
    value(&mut lines, "applications: group", &old, &new);
    let waiting = after.waiting.iter().filter(|waiting| !before.waiting.contains(waiting));
    lines.extend(waiting.map(ToString::to_string));
    lines
}

fn members(lines: &mut Vec<String>, what: &str, old: &[String], new: &[String]) {
    lines
        .extend(old.iter().filter(|member| !new.contains(member)).map(|member| format!("- {what} {member}")));
    lines
        .extend(new.iter().filter(|member| !old.contains(member)).map(|member| format!("+ {what} {member}")));
}

/// Rules by their names, and what is different in those that stay.
fn named<T: Serialize>(
    lines: &mut Vec<String>,
    what: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> String,
) {
    let names = |rules: &[T]| rules.iter().map(&name).collect::<Vec<_>>();
    members(lines, what, &names(old), &names(new));
    for after in new {
        let Some(before) = old.iter().find(|before| name(before) == name(after)) else { continue };
        let fields = [before, after].map(|rule| match serde_json::to_value(rule) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        });
        let [before, now] = &fields;
        let keys = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key)));
        for key in keys.filter(|key| *key != "number") {
            let words =
                |fields: &serde_json::Map<String, Value>| fields.get(key).map_or("none".into(), words);
            value(lines, &format!("{what} {}: {key}", name(after)), &words(before), &words(now));
        }
    }
}

fn value<T: Display + PartialEq>(lines: &mut Vec<String>, what: &str, old: &T, new: &T) {
    if old != new {
        lines.push(format!("{what}: {old} -> {new}"));
    }
}

/// A value without the quotes of JSON.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
