//! Values for tests, made from Graph's type table: of every type a value that a device takes.

use muster_domain::catalogue::{Entry, Form, Kind};
use serde_json::{Map, Value, json};

/// The type table.
pub(super) fn table() -> Value {
    serde_json::from_str(include_str!("../../../../catalogue/types.json")).unwrap()
}

/// A property's words in the table, looked up through what the type extends.
fn words<'a>(table: &'a Value, graph_type: &str, name: &str) -> &'a str {
    let mut of = graph_type;
    loop {
        let found = &table["types"][of];
        assert!(found.is_object(), "{graph_type}.{name} is not in the table");
        if let Some(text) = found[name].as_str() {
            return text;
        }
        of = base(table, of);
    }
}

fn base<'a>(table: &'a Value, graph_type: &str) -> &'a str {
    table["types"][graph_type][""].as_str().unwrap_or_default().split(' ').next().unwrap_or_default()
}

/// The types that may stand where this one is asked for: itself, or those that extend it.
fn concrete<'a>(table: &'a Value, graph_type: &'a str) -> Vec<&'a str> {
    let types = table["types"].as_object().unwrap();
    let extending: Vec<&str> =
        types.keys().map(String::as_str).filter(|name| base(table, name) == graph_type).collect();
    if extending.is_empty() {
        return vec![graph_type];
    }
    extending.into_iter().flat_map(|name| concrete(table, name)).collect()
}

/// A text by the name of its property: some must look like what they are.
fn text(name: &str) -> &'static str {
    match name {
        "lowerAddress" | "ipAddress" => "10.0.0.1",
        "upperAddress" => "10.0.0.9",
        "cidrAddress" => "10.1.0.0/16",
        "resourcePath" => "/ipp/print",
        "modeCredentialUsed" => "always",
        name if name.to_ascii_lowercase().contains("url") => "https://example.org/",
        _ => "com.example.app",
    }
}

/// Values of a type, `kind` being a word of the table; more than one where types differ.
fn values(table: &Value, name: &str, kind: &str) -> Vec<Value> {
    if let Some(kind) = kind.strip_suffix("[]") {
        return values(table, name, kind).into_iter().map(|value| json!([value])).collect();
    }
    if let Some(members) = table["enums"][kind].as_str() {
        let members = members.trim_start_matches("flags: ").split(", ").map(|word| word.split(' ').next().unwrap());
        let says = |word: &&str| !["none", "notConfigured", "deviceDefault", "browserDefault"].contains(word);
        return vec![json!(members.clone().find(says).unwrap())];
    }
    match kind {
        "bool" => vec![json!(true)],
        "int32" | "int64" => vec![json!(4)],
        "double" => vec![json!(1.5)],
        "string" => vec![json!(text(name))],
        "binary" => vec![json!("AAAA")],
        _ => {
            let named = concrete(table, kind);
            let of = |graph_type: &str| {
                let mut members =
                    Map::from_iter([("@odata.type".into(), json!(format!("#microsoft.graph.{graph_type}")))]);
                let mut at = graph_type;
                while let Some(own) = table["types"][at].as_object() {
                    for (name, said) in own.iter().filter(|(name, _)| !name.is_empty()) {
                        let kind = said.as_str().unwrap().split(' ').next().unwrap();
                        members.insert(name.clone(), values(table, name, kind).remove(0));
                    }
                    at = base(table, at);
                }
                Value::Object(members)
            };
            named.into_iter().map(of).collect()
        }
    }
}

/// Values that a setting takes: every word that it knows, every type.
pub(super) fn samples(table: &Value, kind: &Kind, entry: &Entry) -> Vec<Value> {
    if let Form::Words(words) = &entry.delivery[0].form {
        return words.keys().map(|word| json!(word)).filter(|word| !entry.unset.contains(word)).collect();
    }
    if let Form::Flag(_) = &entry.delivery[0].form {
        let words: Vec<&str> = entry
            .delivery
            .iter()
            .filter_map(|delivery| if let Form::Flag(word) = &delivery.form { Some(word.as_str()) } else { None })
            .collect();
        return vec![json!(words.join(", ")), json!(words[0])];
    }
    let said = words(table, &kind.graph_type, &entry.name).split(' ').next().unwrap();
    match (entry.name.as_str(), &entry.delivery[0].form) {
        ("homeScreenDockIcons", _) => vec![json!([{ "displayName": "Mail", "bundleID": "com.apple.mobilemail" }])],
        ("homeScreenPages", _) => vec![json!([{ "icons": [
            { "displayName": "Mail", "bundleID": "com.apple.mobilemail" },
            { "displayName": "Intranet", "bundleID": "https://example.org/", "isWebClip": true },
            { "displayName": "Work", "pages": [{ "apps": [{ "bundleID": "com.example.app" }] }] },
        ] }])],
        _ => {
            let mut values = values(table, &entry.name, said);
            let other = if kind.graph_type.starts_with("ios") { "graph.macOS" } else { "graph.ios" };
            values.retain(|value| !value["@odata.type"].as_str().unwrap_or_default().contains(other));
            values
        }
    }
}
