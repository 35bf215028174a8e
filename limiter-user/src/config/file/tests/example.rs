//! dist/limiterctl.toml: that every key stands in it, and that what it says of defaults is so.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const EXAMPLE: &str = include_str!("../../../../../dist/limiterctl.toml");

/// The example with every key in it that it leaves out.
pub fn complete() -> String {
    let keys: BTreeSet<&str> = EXAMPLE.lines().filter(|line| !line.starts_with('#')).collect();
    let has = |key: &str, lines: &[String]| {
        let table = lines.iter().rev().take_while(|line| !line.starts_with('['));
        table.filter_map(|line| line.split_once(" = ")).any(|(other, _)| other == key)
    };
    assert!(!keys.is_empty(), "something holds in the example as it is");
    let mut lines: Vec<String> = Vec::new();
    for line in EXAMPLE.lines() {
        let put_in =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()));
        match put_in.and_then(|rest| rest.split_once(" = ").map(|(key, _)| (rest, key))) {
            // Another value for a key that stands there already.
            Some((_, key)) if has(key, &lines) => {}
            Some((rest, _)) => lines.push(rest.into()),
            None => lines.push(line.into()),
        }
    }
    lines.join("\n")
}

fn json(text: &str) -> Value {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn schema() -> Value {
    serde_json::to_value(super::super::schema::schema()).expect("it is JSON")
}

/// What a schema says, where it says it elsewhere.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let reference = part.get("$ref").or_else(|| part.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    reference.map_or(part, |name| schema.pointer(name.trim_start_matches('#')).expect("it is defined"))
}

/// What a value breaks of its schema, as far as this one goes.
fn broken(schema: &Value, part: &Value, value: &Value) -> Vec<String> {
    let resolved = resolved(schema, part);
    let mut broken = Vec::new();
    if let Some(Value::Array(forms)) = resolved.get("anyOf") {
        if forms.iter().all(|form| !self::broken(schema, form, value).is_empty()) {
            broken.push(format!("{value} has no form that is known"));
        }
        return broken;
    }
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        _ => "integer",
    };
    if resolved["type"] != kind {
        return vec![format!("{value} is not of type {}", resolved["type"])];
    }
    if let Some(Value::Array(words)) = part.get("enum")
        && !words.contains(value)
    {
        broken.push(format!("{value} is not among {words:?}"));
    }
    if let (Some(number), Some(least), Some(most)) =
        (value.as_i64(), part["minimum"].as_i64(), part["maximum"].as_i64())
        && !(least..=most).contains(&number)
    {
        broken.push(format!("{number} is out of bounds"));
    }
    match value {
        Value::Object(map) => {
            assert_eq!(resolved["additionalProperties"], false, "unknown keys are refused: {resolved}");
            for (key, value) in map {
                match resolved["properties"].get(key) {
                    Some(part) => broken.extend(self::broken(schema, part, value)),
                    None => broken.push(format!("{key} is unknown")),
                }
            }
            let required = resolved["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            broken.extend(
                required.filter(|key| !map.contains_key(*key)).map(|key| format!("{key} is missing")),
            );
        }
        Value::Array(list) => {
            if (list.len() as u64) < part["minItems"].as_u64().unwrap_or(0) {
                broken.push("the list is too short".into());
            }
            broken.extend(list.iter().flat_map(|value| self::broken(schema, &resolved["items"], value)));
        }
        _ => {}
    }
    broken
}

#[test]
fn it_is_right_as_it_stands_and_with_every_key() {
    good(EXAMPLE);
    good(&complete());
}

#[test]
fn the_schema_says_the_same() {
    let schema = schema();
    let problems = |text: &str| broken(&schema, &schema, &json(text));
    assert_eq!((problems(EXAMPLE), problems(&complete())), (vec![], vec![]));
    for (text, problem) in [
        ("[inbund]", "inbund is unknown"),
        ("[inbound]\nrat = 1", "rat is unknown"),
        (&format!("{WEB}rat = '1/s'"), "rat is unknown"),
        (&format!("{WEB}action = 'rst'"), "\"rst\" is not among"),
        (&format!("{WEB}max_open = 0"), "0 is out of bounds"),
        (&format!("{WEB}source_prefix = {{ v5 = 1 }}"), "has no form that is known"),
        ("[inbound]\ninterfaces = []", "the list is too short"),
        ("[outbound]\ndefault = '1/s'", "cgroups is missing"),
        (&format!("{SHOP}default = {{ ratte = '1/s' }}"), "has no form that is known"),
        (&format!("{SHOP}[[outbound.rule]]\nname = 'a'\nhosts = ['a.b']\nrat = 1"), "rat is unknown"),
    ] {
        let problems = problems(text);
        assert!(problems.iter().any(|found| found.contains(problem)), "{text}: {problems:?}");
        fault(text.as_bytes());
    }
}

/// Every key of the file and of the schema, as `inbound.rule.rate`.
fn keys(schema: &Value, part: &Value, path: &str, found: &mut BTreeSet<String>) {
    let resolved = resolved(schema, part);
    for form in resolved["anyOf"].as_array().into_iter().flatten() {
        keys(schema, form, path, found);
    }
    if let Some(items) = resolved.get("items") {
        keys(schema, items, path, found);
    }
    for (key, part) in resolved["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        keys(schema, part, &path, found);
        found.insert(path);
    }
}

/// What the schema says of a key.
fn said_of<'a>(schema: &'a Value, path: &str) -> (&'a Value, bool) {
    let mut table = schema;
    let mut found = (schema, false);
    for key in path.split('.') {
        let required = table["required"].as_array().is_some_and(|required| required.iter().any(|r| r == key));
        let part = &table["properties"][key];
        assert!(part.is_object(), "the schema has no {path}");
        found = (part, required);
        table = resolved(schema, part);
        if let Some(items) = table.get("items") {
            table = resolved(schema, items);
        }
        if let Some(Value::Array(forms)) = table.get("anyOf") {
            let forms = forms.iter().map(|form| resolved(schema, form));
            table = forms.into_iter().find(|form| form["properties"].is_object()).unwrap_or(table);
        }
    }
    found
}

#[test]
fn every_key_stands_there_with_its_default() {
    let schema = schema();
    let (mut table, mut comment) = (String::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for line in complete().lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim().to_owned());
        } else if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned();
            seen.insert(format!(".{table}"));
            comment.clear();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let path = format!("{table}.{key}");
            let (part, required) = said_of(&schema, &path);
            assert!(comment.len() > 1, "{path} has no reason");
            let last = comment.last().expect("there is one");
            match (last.strip_prefix("Default: "), part.get("default")) {
                (Some(said), Some(real)) => assert_eq!(json(&format!("v = {said}"))["v"], *real, "{path}"),
                (Some(said), None) => assert!(said.starts_with("none") && !required, "{path} has no default"),
                (None, _) => assert!(last == "Required." && required, "{path} says nothing of its default"),
            }
            seen.insert(format!(".{path}"));
        } else {
            comment.clear();
        }
    }
    let mut all = BTreeSet::new();
    keys(&schema, &schema, "", &mut all);
    // The other form of text is told of in a comment.
    all.retain(|path| !path.starts_with(".inbound.rule.source_prefix."));
    assert_eq!(seen, all);
}

#[test]
fn the_defaults_of_the_schema_are_those_of_a_short_file() {
    let short = good(&format!("{WEB}rate = '1/s'\n{SHOP}default = '1/s'"));
    let said = format!(
        "{}rate = '1/s'\ncharge = 'syn'\naction = 'reset'\nsource_prefix = '32,64'\nmonitor = false\n\
         {SHOP}errno = 'EDQUOT'\nexempt = []\nmonitor = false\ndefault = '1/s'\n",
        WEB.replace(
            "[[",
            "xdp_mode = 'auto'\nmax_sources = 1048576\nallow = []\ndeny = []\n\
            [inbound.reset]\nrate = '100/s burst 100'\ntotal_rate = '10000/s burst 10000'\n[["
        )
    );
    let said = good(&said);
    // Apart from where they stand.
    let plain = |config: &Config| {
        let text = format!("{:?}{:?}", config.inbound, config.outbound);
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("span: ") {
            plain.push_str(before);
            rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        }
        plain + rest
    };
    assert_eq!(plain(&short), plain(&said));
}
