//! The checked-in OpenAPI document is the one the server serves, and says who may call what.

use std::path::Path;

use muster_web::{openapi, routes};

#[test]
fn the_checked_in_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == openapi::text(), "docs/openapi.json is old: run `cargo xtask openapi` and read the difference");
}

#[test]
fn d1_every_route_is_in_the_document_with_its_audience() {
    let document = openapi::document();
    for route in routes::table().iter().filter(|route| !route.path.contains("{*")) {
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["x-audience"], route.audience.as_str(), "{} {}", route.method, route.path);
        let open = operation["security"].as_array().unwrap().is_empty();
        assert_eq!(open, matches!(route.auth, routes::Auth::Open | routes::Auth::Flow), "{}", route.path);
    }
    for row in muster_web::graph::registry() {
        let operation = &document["paths"][format!("/beta/{}", row.path)][row.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["x-permission"], row.permission.word(), "{} {}", row.method, row.path);
        assert!(!operation["security"].as_array().unwrap().is_empty());
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
        match value {
            serde_json::Value::Object(map) => {
                found.extend(map.get("$ref").and_then(|r| r.as_str()));
                map.values().for_each(|value| walk(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = openapi::document();
    let mut found = Vec::new();
    walk(&document, &mut found);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
