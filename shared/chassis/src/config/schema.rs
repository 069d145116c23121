//! The JSON schema of the settings: for the chart, for the documentation, and to know which keys are whose.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::Chassis;

/// The schema of a type with everything written in place.
pub(super) fn inlined<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator().into_root_schema_for::<T>()
}

/// The first keys that a settings type knows.
pub fn known_keys<T: JsonSchema>() -> Vec<String> {
    let schema = inlined::<T>();
    properties(schema.as_value()).map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// The schema of a service's whole configuration: the chassis' sections, its own, and the `_file` twin of every secret.
pub fn schema<C: JsonSchema>() -> Value {
    let mut root = inlined::<Chassis>().to_value();
    let own = inlined::<C>().to_value();
    if let (Some(all), Some(own)) = (root.get_mut("properties").and_then(Value::as_object_mut), properties(&own)) {
        all.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    add_twins(&mut root);
    for key in ["title", "description"] {
        if let Some(object) = root.as_object_mut() {
            object.remove(key);
        }
    }
    root
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// Whether a schema is that of a secret, also of an optional one.
pub(super) fn is_secret(schema: &Value) -> bool {
    schema.get("x-secret").is_some_and(|mark| mark == true)
        || schema.get("anyOf").and_then(Value::as_array).is_some_and(|any| any.iter().any(is_secret))
}

/// The schema of an object, also of an optional one.
pub(super) fn object_of(schema: &Value) -> &Value {
    if schema.get("properties").is_some() || schema.get("additionalProperties").is_some_and(Value::is_object) {
        return schema;
    }
    let any = schema.get("anyOf").and_then(Value::as_array);
    any.and_then(|any| any.iter().find(|one| one.get("properties").is_some())).unwrap_or(schema)
}

fn add_twins(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get_mut("properties") {
                let secrets: Vec<String> =
                    properties.iter().filter(|(_, value)| is_secret(value)).map(|(key, _)| key.clone()).collect();
                for key in secrets {
                    let description = format!("The file that holds `{key}`; read again when it is needed.");
                    properties.insert(format!("{key}_file"), json!({ "type": "string", "description": description }));
                }
            }
            map.values_mut().for_each(add_twins);
        }
        Value::Array(items) => items.iter_mut().for_each(add_twins),
        _ => {}
    }
}
