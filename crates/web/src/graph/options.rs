//! Query options of a read: `$filter`, `$select`, `$expand`, `$orderby`, `$top`, `$skip`, `$count`,
//! `$search` and our `$skiptoken`. Property names in any letter case become Graph's spelling.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use muster_domain::query::{After, Filter, Literal, Order, Property};
use serde_json::Value;

use super::{
    filter::{self, FilterError, split_outside_quotes},
    types::{Kind, table},
};
use crate::problem::Problem;

/// Most items of a page.
pub const MAX_TOP: usize = 1000;

/// One expanded link.
#[derive(Clone, Debug, PartialEq)]
pub struct Expand {
    /// Only on items of this type.
    pub cast: Option<String>,
    /// The link's name.
    pub link: String,
    /// Options in the parentheses.
    pub options: Options,
}

/// The options of one read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// `$filter`
    pub filter: Option<Filter>,
    /// `$select`; empty: all.
    pub select: Vec<String>,
    /// `$expand`
    pub expand: Vec<Expand>,
    /// `$orderby`
    pub order: Vec<Order>,
    /// `$top`
    pub top: Option<usize>,
    /// `$skip`
    pub skip: usize,
    /// `$count`
    pub count: bool,
    /// `$search`: property (if named) and text of each term; all must match.
    pub search: Vec<(Option<String>, String)>,
    /// `$skiptoken`
    pub after: Option<After>,
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

fn unsupported(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
}

/// Reads decoded options of a request for entities of `entity`.
pub fn parse(pairs: &[(String, String)], entity: &str) -> Result<Options, Problem> {
    read(pairs, entity, 0)
}

fn read(pairs: &[(String, String)], entity: &str, depth: usize) -> Result<Options, Problem> {
    let mut options = Options::default();
    for (key, value) in pairs {
        let value = value.trim();
        match key.as_str() {
            "filter" => {
                let mut filter = filter::parse(value).map_err(|error| match error {
                    FilterError::Bad(message) => bad(message),
                    FilterError::Unsupported(what) => unsupported(format!("{what} is not supported")),
                })?;
                resolve(&mut filter, entity)?;
                options.filter = Some(filter);
            }
            "select" => {
                for name in split_outside_quotes(value, ',') {
                    let name = name.trim();
                    if name == "*" {
                        options.select.clear();
                        break;
                    }
                    let name = name.rsplit('/').next().filter(|_| name.contains("microsoft.graph.")).unwrap_or(name);
                    let first = name.split('/').next().unwrap_or(name);
                    match property_name(entity, first) {
                        Some(found) => options.select.push(found),
                        // Graph answers unknown names in $select as if they were not there on some
                        // resources and refuses on others; a typing error should be seen.
                        None => return Err(unknown(entity, first)),
                    }
                }
            }
            "expand" => {
                if depth >= 3 {
                    return Err(bad("$expand may be nested three deep"));
                }
                for part in split_outside_quotes(value, ',') {
                    options.expand.push(read_expand(part.trim(), entity, depth)?);
                }
                if options.expand.len() > 8 {
                    return Err(bad("$expand takes up to eight links"));
                }
            }
            "orderby" => {
                for part in split_outside_quotes(value, ',') {
                    let mut words = part.split_whitespace();
                    let name = words.next().unwrap_or_default();
                    let descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
                        None | Some("asc") => false,
                        Some("desc") => true,
                        Some(other) => return Err(bad(format!("$orderby takes asc or desc, not '{other}'"))),
                    };
                    let mut path: Vec<String> = name.split('/').map(str::to_owned).collect();
                    let first = property_name(entity, &path[0]).ok_or_else(|| unknown(entity, &path[0]))?;
                    path[0] = first;
                    options.order.push(Order { property: path.join("/"), descending });
                }
                if options.order.len() > 1 {
                    return Err(unsupported("$orderby with more than one property is not supported"));
                }
            }
            "top" => {
                let top = value.parse::<usize>().ok().filter(|top| *top > 0);
                options.top = Some(top.ok_or_else(|| bad("$top must be a whole number above 0"))?.min(MAX_TOP));
            }
            "skip" => {
                let skip = value.parse::<usize>().ok().filter(|skip| *skip <= 1_000_000);
                options.skip = skip.ok_or_else(|| bad("$skip must be a whole number up to 1000000"))?;
            }
            "count" => match value.to_ascii_lowercase().as_str() {
                "true" => options.count = true,
                "false" => options.count = false,
                _ => return Err(bad("$count must be true or false")),
            },
            "search" => options.search = read_search(value, entity)?,
            "skiptoken" => {
                let (after, of) = decode_after(value).ok_or_else(|| bad("$skiptoken is not one of ours"))?;
                if of != fingerprint(pairs) {
                    return Err(bad(
                        "$skiptoken belongs to a list with another $filter, $orderby or $search; begin the list anew",
                    ));
                }
                options.after = Some(after);
            }
            "format" => {
                let lower = value.to_ascii_lowercase();
                if lower != "json" && !lower.starts_with("application/json") {
                    return Err(unsupported("$format other than application/json is not supported"));
                }
            }
            other => return Err(unsupported(format!("the query option ${other} is not supported"))),
        }
    }
    Ok(options)
}

fn unknown(entity: &str, name: &str) -> Problem {
    let name: String = name.chars().take(80).collect();
    bad(format!("Could not find a property named '{name}' on type 'microsoft.graph.{entity}'."))
}

/// Graph's spelling of a property that the entity, or a type that extends it, has.
fn property_name(entity: &str, name: &str) -> Option<String> {
    let table = table();
    if let Some(found) = table.property(entity, name) {
        return Some(found.name.clone());
    }
    if name.eq_ignore_ascii_case("id") {
        return Some("id".to_owned());
    }
    if name == "@odata.type" {
        return Some(name.to_owned());
    }
    table.concrete(entity).find_map(|kind| table.property(kind, name)).map(|found| found.name.clone())
}

/// Brings names to Graph's spelling and refuses names the type has not.
fn resolve(filter: &mut Filter, entity: &str) -> Result<(), Problem> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter_mut().try_for_each(|part| resolve(part, entity)),
        Filter::Not(inner) => resolve(inner, entity),
        Filter::Compare(property, _, literal) => {
            let kind = spell(property, entity)?;
            member(property, kind.as_ref(), literal)
        }
        Filter::In(property, literals) => {
            let kind = spell(property, entity)?;
            literals.iter_mut().try_for_each(|literal| member(property, kind.as_ref(), literal))
        }
        Filter::Text(property, _, _) => spell(property, entity).map(|_| ()),
        Filter::IsOf(name) => match table().canonical(name) {
            Some(known) => {
                *name = known.to_owned();
                Ok(())
            }
            // A type we do not serve: nothing here is one.
            None => Ok(()),
        },
        Filter::Any(property, inner) => {
            let kind = spell(property, entity)?;
            match (inner, kind) {
                (Some(inner), Some(Kind::Complex(kind))) => resolve(inner, &kind),
                (Some(inner), _) => plain(inner),
                (None, _) => Ok(()),
            }
        }
    }
}

/// Tests inside `any` over plain values name only the variable.
fn plain(filter: &Filter) -> Result<(), Problem> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(plain),
        Filter::Not(inner) => plain(inner),
        Filter::Compare(p, _, _) | Filter::In(p, _) | Filter::Text(p, _, _) if p.path == ["$it"] => Ok(()),
        _ => Err(bad("a test inside any names its variable")),
    }
}

/// A text that is compared with an enum must be one of its members, and gets their spelling.
fn member(property: &Property, kind: Option<&Kind>, literal: &mut Literal) -> Result<(), Problem> {
    let (Some(Kind::Enum(name)), Literal::Text(text)) = (kind, literal) else { return Ok(()) };
    // Several flags at once are one text.
    let Some(found) = table().get_enum(name).filter(|found| !found.flags) else { return Ok(()) };
    match found.members.iter().find(|(member, _)| member.eq_ignore_ascii_case(text)) {
        Some((member, _)) => *text = member.clone(),
        None => {
            let all: Vec<&str> = found.members.iter().map(|(member, _)| member.as_str()).collect();
            return Err(bad(format!("$filter: {} must be one of: {}", property.name(), all.join(", "))));
        }
    }
    Ok(())
}

/// Spells each step; answers what the last one holds.
fn spell(property: &mut Property, entity: &str) -> Result<Option<Kind>, Problem> {
    let mut at = match &mut property.cast {
        Some(cast) => match table().canonical(cast) {
            Some(known) => {
                *cast = known.to_owned();
                Some(Kind::Complex(known.to_owned()))
            }
            // A type we do not serve: its properties are null on everything here.
            None => return Ok(None),
        },
        None => Some(Kind::Complex(entity.to_owned())),
    };
    for name in &mut property.path {
        if name == "$it" {
            return Ok(None);
        }
        let Some(Kind::Complex(kind)) = at else { return Err(unknown(entity, name)) };
        if name == "$count" {
            return Err(unsupported("$filter by the $count of a list is not supported"));
        }
        let spelled = property_name(&kind, name).ok_or_else(|| unknown(&kind, name))?;
        let found = table()
            .property(&kind, &spelled)
            .or_else(|| table().concrete(&kind).find_map(|kind| table().property(kind, &spelled)));
        *name = spelled;
        at = found.map(|found| found.kind.clone());
    }
    Ok(at)
}

fn read_expand(text: &str, entity: &str, depth: usize) -> Result<Expand, Problem> {
    let (name, inside) = match text.find('(') {
        Some(at) if text.ends_with(')') => (&text[..at], Some(&text[at + 1..text.len() - 1])),
        Some(_) => return Err(bad("a parenthesis in $expand is not closed")),
        None => (text, None),
    };
    let (cast, name) = match name.rsplit_once('/') {
        Some((cast, name)) if cast.to_ascii_lowercase().starts_with("microsoft.graph.") => {
            (Some(filter::short(cast)), name)
        }
        Some(_) => return Err(unsupported("a path in $expand is not supported; nest it in parentheses")),
        None => (None, name),
    };
    if name == "*" {
        return Err(unsupported("$expand=* is not supported; name the links"));
    }
    let of = cast.as_deref().unwrap_or(entity);
    let link = match (property_name(of, name), &cast) {
        (Some(link), _) => link,
        // A type we do not serve: no item here is one.
        (None, Some(_)) => name.to_owned(),
        (None, None) => return Err(unknown(entity, name)),
    };
    let target = match table().property(of, &link).map(|found| &found.kind) {
        Some(Kind::Complex(kind)) => kind.clone(),
        _ => "entity".to_owned(),
    };
    let mut pairs = Vec::new();
    for part in inside.map(|inside| split_outside_quotes(inside, ';')).unwrap_or_default() {
        if part.trim().is_empty() {
            continue;
        }
        let (key, value) = part.split_once('=').ok_or_else(|| bad("options inside $expand are written $name=value"))?;
        pairs.push((key.trim().trim_start_matches('$').to_ascii_lowercase(), value.to_owned()));
    }
    let options = if target == "entity" && !pairs.is_empty() && cast.is_some() {
        Options::default()
    } else {
        read(&pairs, &target, depth + 1)?
    };
    Ok(Expand { cast, link, options })
}

/// `"text"`, `"property:text"`, several joined by AND.
fn read_search(value: &str, entity: &str) -> Result<Vec<(Option<String>, String)>, Problem> {
    let mut terms = Vec::new();
    if value.starts_with('"') && value.contains("\" OR \"") {
        return Err(unsupported("$search with OR is not supported"));
    }
    let parts: Vec<&str> = if value.starts_with('"') { value.split("\" AND \"").collect() } else { vec![value] };
    for part in parts {
        let part = part.trim().trim_matches('"').replace("\\\"", "\"");
        if part.is_empty() {
            return Err(bad("$search needs a text in double quotes"));
        }
        match part.split_once(':') {
            Some((property, text)) if property.chars().all(|c| c.is_ascii_alphanumeric()) => {
                let property = property_name(entity, property).ok_or_else(|| unknown(entity, property))?;
                terms.push((Some(property), text.to_owned()));
            }
            _ => terms.push((None, part)),
        }
    }
    if terms.len() > 8 {
        return Err(bad("$search takes up to eight terms"));
    }
    Ok(terms)
}

/// What a place in a list depends on, in 32 bits (FNV-1a): the same place means something else under
/// another order or filter.
fn fingerprint(pairs: &[(String, String)]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for key in ["filter", "orderby", "search"] {
        let value = pairs.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.trim());
        for byte in value.bytes().chain([0xff]) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

/// The opaque text of a place in the list that these options made.
pub fn encode_after(after: &After, pairs: &[(String, String)]) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::json!([after.key, after.id, fingerprint(pairs)]).to_string())
}

/// A place, and the fingerprint of its list.
fn decode_after(text: &str) -> Option<(After, u32)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let value = super::json::parse(&bytes).ok()?;
    let [key, id, of] = value.as_array()?.as_slice() else { return None };
    if matches!(key, Value::Array(_) | Value::Object(_)) {
        return None;
    }
    let of = u32::try_from(of.as_u64()?).ok()?;
    Some((After { key: key.clone(), id: uuid::Uuid::try_parse(id.as_str()?).ok()? }, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)], entity: &str) -> Result<Options, Problem> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        parse(&pairs, entity)
    }

    #[test]
    fn names_get_graphs_spelling() {
        let read = options(
            &[("select", "DISPLAYNAME, id"), ("orderby", "devicename desc"), ("filter", "SerialNumber eq 'x'")],
            "managedDevice",
        );
        assert!(read.is_err(), "managedDevice has no displayName");
        let read = options(
            &[("select", "DEVICENAME, id"), ("orderby", "devicename desc"), ("filter", "SerialNumber eq 'x'")],
            "managedDevice",
        )
        .unwrap();
        assert_eq!(read.select, ["deviceName", "id"]);
        assert_eq!(read.order, [Order { property: "deviceName".into(), descending: true }]);
        assert!(matches!(read.filter, Some(Filter::Compare(p, _, _)) if p.path == ["serialNumber"]));
    }

    #[test]
    fn a_list_of_a_base_takes_properties_of_what_extends_it() {
        let read =
            options(&[("filter", "payloadname eq 'a'"), ("expand", "assignments($select=id)")], "deviceConfiguration");
        let read = read.unwrap();
        assert!(matches!(read.filter, Some(Filter::Compare(p, _, _)) if p.path == ["payloadName"]));
        assert_eq!(read.expand[0].link, "assignments");
        assert_eq!(read.expand[0].options.select, ["id"]);
    }

    #[test]
    fn unknown_names_and_values_are_told() {
        for (key, value, part) in [
            ("select", "nonsense", "nonsense"),
            ("orderby", "nonsense", "nonsense"),
            ("filter", "nonsense eq 1", "nonsense"),
            ("expand", "nonsense", "nonsense"),
            ("top", "-1", "$top"),
            ("top", "x", "$top"),
            ("skip", "-1", "$skip"),
            ("count", "maybe", "$count"),
            ("skiptoken", "zzz", "$skiptoken"),
        ] {
            let refused = options(&[(key, value)], "user").unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{key}={value}");
            assert!(refused.message.contains(part), "{key}={value}: {}", refused.message);
        }
    }

    #[test]
    fn a_place_in_a_list_survives_the_trip() {
        let after = After { key: Value::from("a'b"), id: uuid::Uuid::from_u128(7) };
        let by_name = [("orderby".to_owned(), "displayName".to_owned())];
        let token = encode_after(&after, &by_name);
        let read = options(&[("orderby", "displayName"), ("top", "5"), ("skiptoken", &token)], "user").unwrap();
        assert_eq!(read.after, Some(after));
        let other = options(&[("orderby", "displayName desc"), ("skiptoken", &token)], "user").unwrap_err();
        assert!(other.message.contains("another"), "{}", other.message);
    }

    #[test]
    fn an_enum_is_compared_with_its_members_only() {
        let read = options(&[("filter", "managedDeviceOwnerType eq 'COMPANY'")], "managedDevice").unwrap();
        assert!(matches!(read.filter, Some(Filter::Compare(_, _, Literal::Text(text))) if text == "company"));
        for filter in ["managedDeviceOwnerType eq 'mine'", "managedDeviceOwnerType in ('company','mine')"] {
            let refused = options(&[("filter", filter)], "managedDevice").unwrap_err();
            assert!(refused.message.contains("unknown, company, personal"), "{}", refused.message);
        }
        let refused = options(&[("filter", "assignedLicenses/$count ne 0")], "user").unwrap_err();
        assert_eq!(refused.status, StatusCode::NOT_IMPLEMENTED);
    }

    #[test]
    fn what_search_does_not_know_is_told() {
        assert_eq!(
            options(&[("search", "\"displayname:a\" AND \"b\"")], "user").unwrap().search,
            [(Some("displayName".into()), "a".into()), (None, "b".into())]
        );
        let status = |text: &str| options(&[("search", text)], "user").unwrap_err().status;
        assert_eq!(status("\"nonsense:a\""), StatusCode::BAD_REQUEST);
        assert_eq!(status("\"displayName:a\" OR \"displayName:b\""), StatusCode::NOT_IMPLEMENTED);
    }
}
