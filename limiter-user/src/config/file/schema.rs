//! The JSON Schema of the file, from which editors complete and check it.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RemoveRefSiblings, Transform, transform_subschemas};
use serde_json::Value;

use super::shape;

/// JSON Schema, draft 7, which all editors know.
pub fn schema() -> Schema {
    // In draft 7 what stands beside a reference is not looked at, so the one is moved away from the other once more.
    let settings = SchemaSettings::draft07().for_deserialize().with_transform(WithoutNull);
    let settings = settings.with_transform(RemoveRefSiblings::default());
    settings.into_generator().into_root_schema_for::<shape::File>()
}

/// TOML has no null: what may be left out is left out.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [kind] = &types[..] {
                let kind = kind.clone();
                schema.insert("type".into(), kind);
            }
        }
        if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
            forms.retain(|form| form.get("type").is_none_or(|kind| kind != "null"));
            if let [form] = &mut forms[..]
                && let Some(form) = form.as_object_mut()
            {
                let form = std::mem::take(form);
                schema.remove("anyOf");
                for (key, value) in form {
                    schema.ensure_object().entry(key).or_insert(value);
                }
            }
        }
        transform_subschemas(self, schema);
    }
}
