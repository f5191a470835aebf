//! The OpenAPI document, made from the route table, the resource registry and the type table. Checked
//! in as `docs/openapi.json` by `cargo xtask openapi`; a test compares.

use std::{collections::BTreeSet, fmt::Write as _, sync::LazyLock};

use axum::{http::header, response::IntoResponse};
use serde_json::{Map, Value, json};

use crate::{
    graph::{self, Shape, Version},
    routes::{self, Auth},
};

/// Serves the document.
pub async fn get() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// The document as it is checked in: an operation, a schema a line.
pub fn text() -> String {
    let document = document();
    let mut out = String::from("{\n");
    let top: Vec<(&String, &Value)> = document.as_object().into_iter().flatten().collect();
    for (i, (name, value)) in top.iter().enumerate() {
        let end = if i + 1 == top.len() { "" } else { "," };
        match name.as_str() {
            "paths" => {
                let _ = writeln!(out, "{}: {{", Value::from(name.as_str()));
                lines(&mut out, value, 2);
                let _ = writeln!(out, "}}{end}");
            }
            "components" => {
                let _ = writeln!(out, "{}: {{", Value::from(name.as_str()));
                lines(&mut out, value, 2);
                let _ = writeln!(out, "}}{end}");
            }
            _ => {
                let _ = writeln!(out, "{}: {value}{end}", Value::from(name.as_str()));
            }
        }
    }
    out.push_str("}\n");
    out
}

/// Objects down to `depth` with a line an entry.
fn lines(out: &mut String, value: &Value, depth: usize) {
    let entries: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    for (i, (name, value)) in entries.iter().enumerate() {
        let end = if i + 1 == entries.len() { "" } else { "," };
        if depth > 1 && value.is_object() {
            let _ = writeln!(out, "{}: {{", Value::from(name.as_str()));
            lines(out, value, depth - 1);
            let _ = writeln!(out, "}}{end}");
        } else {
            let _ = writeln!(out, "{}: {value}{end}", Value::from(name.as_str()));
        }
    }
}

/// The document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut seen = BTreeSet::new();
    for route in routes::table() {
        if route.path.starts_with("/v1.0/") || route.path.starts_with("/beta/") {
            continue;
        }
        let path = route.path.replace("{*", "{");
        let mut operation = json!({
            "operationId": operation_id(route.method.as_str(), &path, &mut seen),
            "summary": route.summary,
            "x-audience": route.audience.as_str(),
            "security": security(route.auth),
        });
        if let Some(permission) = route.permission {
            operation["x-permission"] = permission.word().into();
        }
        let parameters = path_parameters(&path);
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        let json_body = path.starts_with("/muster/");
        if route.body_limit > 0 {
            let kind = match (json_body, route.path.contains("/imports/")) {
                (true, true) => "text/csv",
                (true, false) => "application/json",
                (false, _) if matches!(route.auth, Auth::Flow | Auth::Person) => "application/x-www-form-urlencoded",
                _ => "application/octet-stream",
            };
            operation["requestBody"] = json!({"content": {kind: {"schema": {}}}});
            operation["x-body-limit"] = route.body_limit.into();
        }
        operation["responses"] = match json_body {
            true => json!({
                "2XX": {"description": "Done", "content": {"application/json": {"schema": {}}}},
                "default": {"$ref": "#/components/responses/error"},
            }),
            false => json!({"default": {"description": route.summary}}),
        };
        insert(&mut paths, path, route.method.as_str(), operation);
    }
    for version in [Version::V1, Version::Beta] {
        for row in graph::registry() {
            if row.beta && version == Version::V1 {
                continue;
            }
            let path = format!("/{}/{}", version.as_str(), row.path);
            let operation = graph_operation(row, &path, &mut seen);
            insert(&mut paths, path, row.method.as_str(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Muster",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": crate::authentication::CONSOLE_COOKIE},
                "portal": {"type": "apiKey", "in": "cookie", "name": crate::authentication::PORTAL_COOKIE},
                "device": {"type": "mutualTLS"},
            },
            "responses": {
                "error": {
                    "description": "Refused",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}},
                },
            },
            "parameters": options(),
            "schemas": schemas(),
        },
    })
}

fn insert(paths: &mut Map<String, Value>, path: String, method: &str, operation: Value) {
    let entry = paths.entry(path).or_insert_with(|| json!({}));
    entry[method.to_ascii_lowercase()] = operation;
}

/// Who may call: nobody named means anyone.
fn security(auth: Auth) -> Value {
    match auth {
        Auth::Open | Auth::Flow => json!([]),
        Auth::Person => json!([{"portal": []}]),
        Auth::Device => json!([{"device": []}]),
        Auth::Operator => json!([{"bearer": []}, {"session": []}]),
    }
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect()
}

fn operation_id(method: &str, path: &str, seen: &mut BTreeSet<String>) -> String {
    let mut id = method.to_ascii_lowercase();
    for part in path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        let mut chars = part.chars();
        id.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        id.extend(chars);
    }
    // `{id}` and a segment named id read alike.
    while !seen.insert(id.clone()) {
        id.push('_');
    }
    id
}

const OPTIONS: &[(&str, &str)] = &[
    ("filter", "string"),
    ("select", "string"),
    ("expand", "string"),
    ("orderby", "string"),
    ("top", "integer"),
    ("skip", "integer"),
    ("count", "boolean"),
    ("search", "string"),
    ("skiptoken", "string"),
];

fn options() -> Value {
    let parameter = |(name, kind): &(&str, &str)| {
        let value = json!({"name": format!("${name}"), "in": "query", "schema": {"type": kind}});
        ((*name).to_owned(), value)
    };
    Value::Object(OPTIONS.iter().map(parameter).collect())
}

fn graph_operation(row: &graph::Resource, path: &str, seen: &mut BTreeSet<String>) -> Value {
    let entity = json!({"$ref": format!("#/components/schemas/microsoft.graph.{}", row.entity)});
    let mut parameters = path_parameters(path);
    if row.method == "GET" {
        let of = if row.shape == Shape::Collection { OPTIONS } else { &OPTIONS[1..3] };
        parameters.extend(of.iter().map(|(name, _)| json!({"$ref": format!("#/components/parameters/{name}")})));
    }
    let mut operation = json!({
        "operationId": operation_id(row.method.as_str(), path, seen),
        "summary": row.summary,
        "x-audience": "admin",
        "x-permission": row.permission.word(),
        "security": security(Auth::Operator),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if row.body_limit > 0 {
        let schema = if row.shape == Shape::Operation { json!({"type": "object"}) } else { entity.clone() };
        operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
        operation["x-body-limit"] = row.body_limit.into();
    }
    let content = |schema: Value| json!({"application/json": {"schema": schema}});
    let mut responses = Map::new();
    match (row.method.as_str(), row.shape) {
        ("GET", Shape::Collection) => {
            let page = json!({
                "type": "object",
                "properties": {
                    "@odata.context": {"type": "string"},
                    "@odata.count": {"type": "integer"},
                    "@odata.nextLink": {"type": "string"},
                    "value": {"type": "array", "items": entity},
                },
                "required": ["value"],
            });
            responses.insert("200".into(), json!({"description": "A page", "content": content(page)}));
        }
        ("GET", Shape::Entity) => {
            responses.insert("200".into(), json!({"description": "The entity", "content": content(entity)}));
        }
        ("POST", Shape::Collection) => {
            responses.insert("201".into(), json!({"description": "Made", "content": content(entity)}));
        }
        _ => {
            responses.insert("2XX".into(), json!({"description": "Done"}));
        }
    }
    responses.insert("default".into(), json!({"$ref": "#/components/responses/error"}));
    operation["responses"] = Value::Object(responses);
    operation
}

fn schemas() -> Value {
    let mut all = Map::new();
    all.insert(
        "error".into(),
        json!({
            "type": "object",
            "properties": {"error": {
                "type": "object",
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "innerError": {"type": "object"},
                },
                "required": ["code", "message"],
            }},
            "required": ["error"],
        }),
    );
    for (name, schema) in graph::schemas() {
        all.insert(format!("microsoft.graph.{name}"), schema);
    }
    Value::Object(all)
}
