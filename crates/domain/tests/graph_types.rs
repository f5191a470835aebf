//! Graph's type table against the catalogue: no property of a type that we deliver is forgotten, and
//! nothing is promised that Graph does not have.

use std::collections::BTreeMap;

use muster_domain::catalogue::{built, is_common, kinds};
use serde_json::{Map, Value};

/// Properties of a type and of what it extends, with the type table's words about them.
fn properties(table: &Value, graph_type: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut at = graph_type.to_owned();
    while let Some(members) = table["types"][&at].as_object() {
        let said = |(name, words): (&String, &Value)| (name.clone(), words.as_str().unwrap_or_default().to_owned());
        found.extend(members.iter().filter(|(name, _)| !name.is_empty()).map(said));
        let base = members.get("").and_then(Value::as_str).unwrap_or_default();
        at = base.split(' ').next().unwrap_or_default().to_owned();
    }
    found
}

fn table() -> Value {
    serde_json::from_str(include_str!("../../../catalogue/types.json")).unwrap()
}

fn base(table: &Value) -> Map<String, Value> {
    table["types"]["deviceConfiguration"].as_object().unwrap().clone()
}

#[test]
fn every_property_of_graph_is_delivered_or_says_why_not() {
    let table = table();
    let base = base(&table);
    for kind in kinds() {
        let known = properties(&table, &kind.graph_type);
        assert!(!known.is_empty(), "{} is not in the type table", kind.graph_type);
        for (name, words) in &known {
            if is_common(name) || base.contains_key(name) {
                continue;
            }
            let link = words.contains(" link");
            let there = if link {
                kind.links.iter().any(|link| link.name == *name)
            } else {
                kind.settings.iter().any(|entry| entry.name == *name) || kind.part_of.contains_key(name)
            };
            let there = there || kind.stored_only.contains_key(name);
            assert!(there, "{}.{name} is neither delivered nor marked", kind.graph_type);
        }
        let promised = (kind.settings.iter().map(|entry| &entry.name))
            .chain(kind.stored_only.keys())
            .chain(kind.part_of.keys())
            .chain(kind.links.iter().map(|link| &link.name));
        for name in promised {
            assert!(known.contains_key(name), "{}.{name} is not in Graph", kind.graph_type);
        }
        for reason in kind.stored_only.values() {
            assert!(!reason.contains("not delivered yet"), "{}: {reason:?} is no reason", kind.graph_type);
        }
    }
}

#[test]
fn every_property_of_a_built_type_is_delivered_or_says_why_not() {
    let table = table();
    let base = base(&table);
    for (graph_type, shape, _) in built::types() {
        let known = properties(&table, graph_type);
        assert!(!known.is_empty(), "{graph_type} is not in the type table");
        for (name, words) in &known {
            // Of links only those to certificates of ours are settings.
            let foreign = words.contains(" link") && !words.to_lowercase().contains("cert");
            let state = words.contains("managedDeviceCertificateState");
            if is_common(name) || base.contains_key(name) || foreign || state {
                continue;
            }
            assert!(built::known(shape, name), "{graph_type}.{name} is neither delivered nor marked");
        }
    }
}
