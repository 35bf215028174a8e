//! The JSON Schemas in docs/schemas, and whether something is as they say.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// Where they are.
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas")
}

/// The one with this name.
#[track_caller]
pub fn file(name: &str) -> Value {
    let path = directory().join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether a value is what a schema says, as far as the schemas here go: what they do not use is not looked at, and what
/// they do not foresee is wrong.
///
/// # Errors
///
/// What is wrong, and where.
pub fn check(value: &Value, schema: &Value, root: &Value, place: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{place}: {what}: {value}"));
    if schema["$ref"].is_string() {
        return check(value, &together(&Value::Null, schema, root), root, place);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(forms) = schema[word].as_array() {
            // What stands beside the forms holds for all of them.
            let forms = forms.iter().map(|form| together(schema, form, root));
            let results: Vec<_> = forms.map(|form| check(value, &form, root, place)).collect();
            return if results.iter().any(Result::is_ok) { Ok(()) } else { wrong(&format!("{results:?}")) };
        }
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return wrong("none of the words");
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        return wrong("another word");
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    if !kinds.contains(&kind) {
        return wrong(&format!("none of {kinds:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            return wrong(&format!("no {name}"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let below = schema["properties"].get(name).or(schema.get("additionalProperties"));
        let Some(below) = below else { return wrong(&format!("{name} is not foreseen")) };
        check(value, below, root, &format!("{place}/{name}"))?;
    }
    for (number, value) in value.as_array().into_iter().flatten().enumerate() {
        check(value, &schema["items"], root, &format!("{place}/{number}"))?;
    }
    Ok(())
}

/// One of the forms of a schema, with what it refers to and with the properties of the schema itself.
fn together(schema: &Value, form: &Value, root: &Value) -> Value {
    let pointer = form["$ref"].as_str().map(|pointer| pointer.trim_start_matches('#'));
    let mut whole =
        pointer.map_or(&Value::Null, |pointer| root.pointer(pointer).expect("a definition")).clone();
    for (word, value) in form.as_object().into_iter().flatten().filter(|(word, _)| *word != "$ref") {
        if whole.get(word).is_none() {
            whole[word] = value.clone();
        }
    }
    for beside in [form, schema] {
        for (name, property) in beside["properties"].as_object().into_iter().flatten() {
            whole["properties"][name] = property.clone();
        }
        for name in beside["required"].as_array().into_iter().flatten() {
            let required = whole["required"].as_array_mut();
            required.expect("a schema with properties requires some").push(name.clone());
        }
    }
    whole
}
