//! The type table as JSON Schema, for the OpenAPI document.

use serde_json::{Map, Value, json};

use super::types::{Kind, Property, table};

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/microsoft.graph.{name}")})
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::String => json!({"type": ["string", "null"]}),
        Kind::Bool => json!({"type": ["boolean", "null"]}),
        Kind::Int32 => json!({"type": ["integer", "null"], "format": "int32"}),
        Kind::Int64 => json!({"type": ["integer", "null"], "format": "int64"}),
        Kind::Double => json!({"type": ["number", "null"]}),
        Kind::DateTime => json!({"type": ["string", "null"], "format": "date-time"}),
        Kind::Date => json!({"type": ["string", "null"], "format": "date"}),
        Kind::Time => json!({"type": ["string", "null"], "format": "time"}),
        Kind::Duration => json!({"type": ["string", "null"], "format": "duration"}),
        Kind::Guid => json!({"type": ["string", "null"], "format": "uuid"}),
        Kind::Binary => json!({"type": ["string", "null"], "contentEncoding": "base64"}),
        Kind::Enum(name) => json!({"anyOf": [reference(name), {"type": "null"}]}),
        Kind::Complex(name) if table().get(name).is_some() => json!({"anyOf": [reference(name), {"type": "null"}]}),
        Kind::Complex(_) => json!({}),
    }
}

fn of_property(property: &Property) -> Value {
    let mut schema = of_kind(&property.kind);
    if property.collection {
        schema = json!({"type": "array", "items": schema});
    }
    if property.read_only
        && let Some(schema) = schema.as_object_mut()
    {
        schema.insert("readOnly".into(), true.into());
    }
    schema
}

/// Every type and enum by name, sorted.
pub fn schemas() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (name, found) in table().types() {
        let mut properties = Map::new();
        properties.insert("@odata.type".into(), json!({"type": "string"}));
        for property in found.own_properties() {
            properties.insert(property.name.clone(), of_property(property));
        }
        let own = json!({"type": "object", "properties": properties});
        let schema = match &found.base {
            Some(base) => json!({"allOf": [reference(base), own]}),
            None => own,
        };
        all.push((name.to_owned(), schema));
    }
    for (name, found) in table().enums() {
        let members: Vec<&str> = found.members.iter().map(|(member, _)| member.as_str()).collect();
        let schema = match found.flags {
            true => json!({"type": "string", "x-flags": members}),
            false => json!({"type": "string", "enum": members}),
        };
        all.push((name.to_owned(), schema));
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}
