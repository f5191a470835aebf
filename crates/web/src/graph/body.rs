//! Bodies against the type table: unknown names, wrong types and unknown enum members are refused
//! naming them; read-only properties, links and annotations are dropped as Graph drops them.

use axum::http::StatusCode;
use muster_domain::query::{Compare, Filter, Literal, Property as Asked};
use serde_json::{Map, Value};

use super::{
    Version,
    filter::short,
    types::{Kind, Property, table},
};
use crate::problem::Problem;

/// What a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A new entity: names its type where there is a choice.
    Create,
    /// Changes of an entity that is there.
    Patch,
}

/// A body that passed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entity {
    /// The type it names, or the one that was asked for.
    pub odata_type: String,
    /// Writable properties in Graph's spelling.
    pub properties: Map<String, Value>,
    /// `x@odata.bind`: link and addresses.
    pub bindings: Vec<(String, Vec<String>)>,
    /// Names that the type has not, where those are tolerated.
    pub ignored: Vec<String>,
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

/// Reads an entity of `base`. `lenient` types (users, groups, devices, organization) ignore what
/// they do not know and say so.
pub fn entity(base: &str, body: &Value, purpose: Purpose, lenient: bool) -> Result<Entity, Problem> {
    let Value::Object(body) = body else { return Err(bad("the body must be a JSON object")) };
    let odata_type = match body.get("@odata.type") {
        Some(Value::String(name)) => {
            let named = short(name);
            match table().canonical(&named) {
                Some(known) if table().is_a(known, base) => known.to_owned(),
                _ => {
                    return Err(bad(format!(
                        "@odata.type '{}' is not a type of microsoft.graph.{base} that is served here",
                        clip(name)
                    )));
                }
            }
        }
        Some(_) => return Err(bad("@odata.type must be a text such as #microsoft.graph.user")),
        None => base.to_owned(),
    };
    let is_abstract = table().get(&odata_type).is_some_and(|found| found.is_abstract);
    if purpose == Purpose::Create && is_abstract {
        return Err(bad(format!(
            "@odata.type is needed: microsoft.graph.{odata_type} has several types, for example #microsoft.graph.{}",
            table().concrete(base).min().unwrap_or(base)
        )));
    }
    let mut read = Entity { odata_type, ..Entity::default() };
    for (key, value) in body {
        if let Some((name, annotation)) = key.split_once('@') {
            if annotation == "odata.bind" && !name.is_empty() {
                read.bindings.push((name.to_owned(), addresses(name, value)?));
            }
            continue;
        }
        let found = table().property(&read.odata_type, key).or_else(|| {
            // A PATCH need not name its type; the service checks against the stored one.
            is_abstract.then(|| table().concrete(base).find_map(|kind| table().property(kind, key))).flatten()
        });
        let Some(found) = found else {
            if lenient {
                read.ignored.push(clip(key));
                continue;
            }
            return Err(bad(format!(
                "The property '{}' does not exist on type 'microsoft.graph.{}'.",
                clip(key),
                read.odata_type
            )));
        };
        if found.read_only || found.link {
            continue;
        }
        let value = checked(found, value, &found.name)?;
        read.properties.insert(found.name.clone(), value);
    }
    Ok(read)
}

/// Names of callers are repeated in answers as text only, and not at any length.
fn clip(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn addresses(name: &str, value: &Value) -> Result<Vec<String>, Problem> {
    let one = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(items) => items.iter().map(one).collect::<Option<Vec<_>>>(),
        other => one(other).map(|address| vec![address]),
    }
    .ok_or_else(|| bad(format!("{}@odata.bind takes addresses of entities", clip(name))))
}

fn checked(property: &Property, value: &Value, path: &str) -> Result<Value, Problem> {
    if !property.collection {
        return one(&property.kind, value, path);
    }
    match value {
        Value::Null => Ok(Value::Array(Vec::new())),
        Value::Array(items) => {
            let mut read = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                read.push(one(&property.kind, item, &format!("{path}[{i}]"))?);
            }
            Ok(Value::Array(read))
        }
        _ => Err(bad(format!("{path} must be a list"))),
    }
}

fn one(kind: &Kind, value: &Value, path: &str) -> Result<Value, Problem> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let wrong = |what: &str| Err(bad(format!("{path} must be {what}")));
    let fits = match (kind, value) {
        (Kind::Enum(name), Value::String(text)) => return member(name, text, path),
        (Kind::Enum(name), _) => {
            let flags = table().get_enum(name).is_some_and(|found| found.flags);
            return wrong(if flags { "one comma separated text of members" } else { "a text: a member of its enum" });
        }
        (Kind::Complex(name), Value::Object(_)) => return complex(name, value, path),
        (Kind::Complex(_), _) => return wrong("an object"),
        (Kind::String, Value::String(_)) | (Kind::Bool, Value::Bool(_)) | (Kind::Double, Value::Number(_)) => true,
        (Kind::Int32, Value::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        (Kind::Int64, Value::Number(n)) => n.as_i64().is_some(),
        (Kind::DateTime, Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
        (Kind::Date, Value::String(text)) => text.parse::<jiff::civil::Date>().is_ok(),
        (Kind::Time, Value::String(text)) => text.parse::<jiff::civil::Time>().is_ok(),
        (Kind::Duration, Value::String(text)) => {
            text.trim_start_matches('-').starts_with('P') && text.parse::<jiff::Span>().is_ok()
        }
        (Kind::Guid, Value::String(text)) => uuid::Uuid::try_parse(text).is_ok(),
        (Kind::Binary, Value::String(text)) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        _ => false,
    };
    if fits {
        return Ok(value.clone());
    }
    wrong(match kind {
        Kind::String => "a text",
        Kind::Bool => "true or false",
        Kind::Int32 => "a whole number of 32 bits",
        Kind::Int64 => "a whole number",
        Kind::Double => "a number",
        Kind::DateTime => "a time such as 2026-05-01T10:00:00Z",
        Kind::Date => "a date such as 2026-05-01",
        Kind::Time => "a time of day such as 10:00:00",
        Kind::Duration => "an ISO 8601 duration such as PT12H or P90D",
        Kind::Guid => "a GUID",
        Kind::Binary => "base64 text",
        Kind::Enum(_) | Kind::Complex(_) => "of its type",
    })
}

fn member(name: &str, text: &str, path: &str) -> Result<Value, Problem> {
    let Some(found) = table().get_enum(name) else { return Ok(Value::String(text.to_owned())) };
    let spell = |word: &str| {
        let word = word.trim();
        found.members.iter().map(|(member, _)| member).find(|member| member.eq_ignore_ascii_case(word)).cloned()
    };
    let words: Option<Vec<String>> =
        if found.flags { text.split(',').map(spell).collect() } else { spell(text).map(|word| vec![word]) };
    match words {
        Some(words) => Ok(Value::String(words.join(","))),
        None => Err(bad(format!(
            "{path} must be {}of: {}",
            if found.flags { "a comma separated list " } else { "one " },
            found.members.iter().map(|(member, _)| member.as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn complex(base: &str, value: &Value, path: &str) -> Result<Value, Problem> {
    let inner = entity(base, value, Purpose::Create, false).map_err(|mut problem| {
        problem.message = format!("in {path}: {}", problem.message);
        problem
    })?;
    let mut read = Map::new();
    if value.get("@odata.type").is_some() || inner.odata_type != base {
        read.insert("@odata.type".into(), Value::String(format!("#microsoft.graph.{}", inner.odata_type)));
    }
    read.extend(inner.properties);
    Ok(Value::Object(read))
}

/// Enum members that v1.0 lacks have a word there; others become `unknownFutureValue`.
const V1_WORDS: &[(&str, &str, &str)] =
    &[("deviceEnrollmentType", "appleAccountDrivenUserEnrollment", "appleUserEnrollment")];

/// Makes a filter of v1.0 find what v1.0 shows under its own word.
pub fn widen(filter: Filter, version: Version) -> Filter {
    if version == Version::Beta {
        return filter;
    }
    let every = |all: Vec<Filter>| all.into_iter().map(|one| widen(one, version)).collect();
    let known = |property: &Asked, value: &Literal| {
        V1_WORDS.iter().find(|(name, _, v1)| {
            property.name() == *name && matches!(value, Literal::Text(text) if text.eq_ignore_ascii_case(v1))
        })
    };
    match filter {
        Filter::And(all) => Filter::And(every(all)),
        Filter::Or(all) => Filter::Or(every(all)),
        Filter::Not(one) => Filter::Not(Box::new(widen(*one, version))),
        Filter::Compare(property, Compare::Ne, value) if known(&property, &value).is_some() => {
            Filter::Not(Box::new(widen(Filter::Compare(property, Compare::Eq, value), version)))
        }
        Filter::Compare(property, Compare::Eq, value) => match known(&property, &value) {
            None => Filter::Compare(property, Compare::Eq, value),
            Some((_, beta, _)) => Filter::In(property, vec![value, Literal::Text((*beta).to_owned())]),
        },
        Filter::In(property, mut values) => {
            let more: Vec<Literal> = values
                .iter()
                .filter_map(|value| known(&property, value).map(|(_, beta, _)| Literal::Text((*beta).to_owned())))
                .collect();
            values.extend(more);
            Filter::In(property, values)
        }
        other => other,
    }
}

/// Makes an answer's entity what the surface shows: v1.0 has fewer properties and members.
pub fn fit(entity: &mut Map<String, Value>, declared: &str, version: Version) {
    let name = entity
        .get("@odata.type")
        .and_then(Value::as_str)
        .map(short)
        .and_then(|name| table().canonical(&name))
        .or_else(|| table().canonical(declared));
    let Some(name) = name else { return };
    let keys: Vec<String> = entity.keys().cloned().collect();
    for key in keys {
        if key.contains('@') {
            continue;
        }
        let Some(found) = table().property(name, &key) else { continue };
        if !found.in_version(version) {
            entity.shift_remove(&key);
            continue;
        }
        let Some(value) = entity.get_mut(&key) else { continue };
        if found.secret {
            *value = Value::Null;
        }
        fit_value(&found.kind, value, version);
    }
}

fn fit_value(kind: &Kind, value: &mut Value, version: Version) {
    match (kind, value) {
        (kind, Value::Array(items)) => items.iter_mut().for_each(|item| fit_value(kind, item, version)),
        (Kind::Complex(name), Value::Object(inner)) => fit(inner, name, version),
        (Kind::Enum(name), Value::String(text)) if version == Version::V1 => {
            if let Some(found) = table().get_enum(name)
                && found.members.iter().any(|(_, v1)| *v1)
                && found.members.iter().any(|(member, v1)| member == text && !v1)
            {
                *text = V1_WORDS
                    .iter()
                    .find(|(owner, member, _)| owner == name && member == text)
                    .map_or("unknownFutureValue", |(_, _, word)| word)
                    .to_owned();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn create(base: &str, body: Value) -> Result<Entity, Problem> {
        entity(base, &body, Purpose::Create, false)
    }

    #[test]
    fn what_tools_send_is_taken() {
        let read = create(
            "deviceConfiguration",
            json!({
                "@odata.context": "x", "@odata.type": "microsoft.graph.iosCustomConfiguration",
                "id": "given", "createdDateTime": "2020-01-01T00:00:00Z", "version": 7, "supportsScopeTags": true,
                "assignments@odata.context": "y", "assignments": [{"id": "z"}],
                "displayName": "a", "payloadName": "b", "payload": "PGE+", "roleScopeTagIds": ["0"],
            }),
        )
        .unwrap();
        assert_eq!(read.odata_type, "iosCustomConfiguration");
        let names: Vec<_> = read.properties.keys().map(String::as_str).collect();
        assert_eq!(names, ["displayName", "payloadName", "payload", "roleScopeTagIds"]);
    }

    #[test]
    fn refusals_name_the_property() {
        let ios = |name: &str, value: Value| {
            let mut body = json!({"@odata.type": "#microsoft.graph.iosGeneralDeviceConfiguration"});
            body[name] = value;
            create("deviceConfiguration", body).unwrap_err().message
        };
        assert!(ios("passcodeRequird", json!(true)).contains("'passcodeRequird'"));
        assert!(ios("passcodeRequired", json!("yes")).contains("passcodeRequired must be true or false"));
        assert!(ios("passcodeMinimumLength", json!(1.5)).contains("whole number"));
        assert!(ios("passcodeMinimumLength", json!(3_000_000_000_i64)).contains("32 bits"));
        assert!(ios("passcodeRequiredType", json!("numbers")).contains("alphanumeric"));
        assert!(ios("appsVisibilityList", json!([{"nam": "x"}])).contains("appsVisibilityList[0]"));
        let none = create("deviceConfiguration", json!({"displayName": "a"})).unwrap_err();
        assert!(none.message.contains("@odata.type is needed"));
        let other = create("deviceConfiguration", json!({"@odata.type": "#microsoft.graph.user"})).unwrap_err();
        assert!(other.message.contains("not a type"));
    }

    #[test]
    fn durations_of_a_broken_client_are_refused_with_the_reason() {
        let kind = Kind::Duration;
        assert!(one(&kind, &json!("PT12H"), "p").is_ok());
        assert!(one(&kind, &json!("P90D"), "p").is_ok());
        for wrong in ["12:00:00", "90 days, 0:00:00"] {
            assert!(one(&kind, &json!(wrong), "p").unwrap_err().message.contains("ISO 8601"), "{wrong}");
        }
    }

    #[test]
    fn lenient_types_list_what_they_ignored() {
        let read = entity("user", &json!({"displayName": "a", "shoeSize": 44}), Purpose::Create, true).unwrap();
        assert_eq!(read.ignored, ["shoeSize"]);
    }

    #[test]
    fn v1_maps_members_it_lacks_and_hides_beta_properties() {
        let mut device = json!({
            "deviceEnrollmentType": "appleAccountDrivenUserEnrollment", "ownerType": "company",
            "activationLockBypassCode": "secret", "deviceName": "a",
        });
        let map = device.as_object_mut().unwrap();
        let mut beta = map.clone();
        fit(map, "managedDevice", Version::V1);
        assert_eq!(map["deviceEnrollmentType"], "appleUserEnrollment");
        assert!(!map.contains_key("ownerType"));
        fit(&mut beta, "managedDevice", Version::Beta);
        assert_eq!(beta["deviceEnrollmentType"], "appleAccountDrivenUserEnrollment");
        assert_eq!(beta["ownerType"], "company");
        assert!(beta["activationLockBypassCode"].is_null());
    }

    #[test]
    fn e13_names_of_the_caller_are_never_evaluated() {
        for name in ["${7*7}", "{{7*7}}", "#{7*7}", "%{7*7}"] {
            let message = create("deviceCategory", json!({ name: 1 })).unwrap_err().message;
            assert!(message.contains(name) && !message.contains("49"), "{message}");
        }
    }
}
