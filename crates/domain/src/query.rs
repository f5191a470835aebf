//! What a list may be asked: a filter as a tree, an order, a page. The grammar that makes these
//! trees from text lives in `web`; the store turns the ones it allows into SQL. No evaluation of
//! property names happens here beyond JSON documents that are already in memory.

use serde_json::Value;

/// Comparison operators of `$filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `eq`
    Eq,
    /// `ne`
    Ne,
    /// `gt`
    Gt,
    /// `ge`
    Ge,
    /// `lt`
    Lt,
    /// `le`
    Le,
}

/// String tests of `$filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTest {
    /// `startswith(a, b)`
    StartsWith,
    /// `endswith(a, b)`
    EndsWith,
    /// `contains(a, b)`
    Contains,
}

/// A property on the left side of a test: `a/b/c`, with an optional type cast in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// `microsoft.graph.managedApp/appAvailability` has the cast `managedApp`.
    pub cast: Option<String>,
    /// Names from the entity inwards.
    pub path: Vec<String>,
    /// `tolower(..)` around it. Text comparisons ignore letter case anyway, as Graph's do.
    pub lower: bool,
}

impl Property {
    /// The property as it stands in a request.
    pub fn name(&self) -> String {
        self.path.join("/")
    }
}

/// A constant of `$filter`.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// `'text'`, a bare GUID, and the member of an enum literal.
    Text(String),
    /// A time, unix ms.
    Time(i64),
}

/// A filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these.
    And(Vec<Filter>),
    /// Any of these.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// `property eq literal`
    Compare(Property, Compare, Literal),
    /// `property in (a, b)`
    In(Property, Vec<Literal>),
    /// `contains(property, 'text')`
    Text(Property, TextTest, String),
    /// `isof('microsoft.graph.type')`
    IsOf(String),
    /// `collection/any(x: test)`; without a test: not empty.
    Any(Property, Option<Box<Filter>>),
}

/// One key of `$orderby`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Property path, `a/b`.
    pub property: String,
    /// `desc`
    pub descending: bool,
}

/// The value of the sort key and the id where the last page ended.
#[derive(Clone, Debug, PartialEq)]
pub struct After {
    /// Sort key of the last row; null sorts last in both directions.
    pub key: Value,
    /// Its id.
    pub id: uuid::Uuid,
}

/// Says whether `entity` passes; `is_a(type, base)` answers from the type table.
pub fn matches(filter: &Filter, entity: &Value, is_a: &dyn Fn(&str, &str) -> bool) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|f| matches(f, entity, is_a)),
        Filter::Or(any) => any.iter().any(|f| matches(f, entity, is_a)),
        Filter::Not(inner) => !matches(inner, entity, is_a),
        Filter::Compare(property, compare, literal) => test(read(property, entity, is_a), *compare, literal),
        Filter::In(property, literals) => literals.iter().any(|l| test(read(property, entity, is_a), Compare::Eq, l)),
        Filter::Text(property, how, text) => match read(property, entity, is_a) {
            Value::String(value) => {
                let (value, text) = (value.to_lowercase(), text.to_lowercase());
                match how {
                    TextTest::StartsWith => value.starts_with(&text),
                    TextTest::EndsWith => value.ends_with(&text),
                    TextTest::Contains => value.contains(&text),
                }
            }
            _ => false,
        },
        Filter::IsOf(base) => type_of(entity).is_some_and(|name| is_a(name, base)),
        Filter::Any(property, inner) => match (read(property, entity, is_a), inner) {
            (Value::Array(items), Some(inner)) => items.iter().any(|item| matches(inner, item, is_a)),
            (Value::Array(items), None) => !items.is_empty(),
            _ => false,
        },
    }
}

fn type_of(entity: &Value) -> Option<&str> {
    entity.get("@odata.type")?.as_str().map(|t| t.trim_start_matches("#microsoft.graph."))
}

fn read<'a>(property: &Property, entity: &'a Value, is_a: &dyn Fn(&str, &str) -> bool) -> &'a Value {
    const NULL: &Value = &Value::Null;
    if let Some(cast) = &property.cast
        && !type_of(entity).is_some_and(|name| is_a(name, cast))
    {
        return NULL;
    }
    property.path.iter().fold(entity, |value, name| match value {
        Value::Object(map) => map.get(name).unwrap_or(NULL),
        // `any(s: s eq 'x')` over plain values: the variable is the value itself.
        other if name == "$it" => other,
        _ => NULL,
    })
}

fn test(value: &Value, compare: Compare, literal: &Literal) -> bool {
    use std::cmp::Ordering;
    let ordering = match (value, literal) {
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        (Value::Null, _) | (_, Literal::Null) => None,
        (Value::Bool(a), Literal::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Literal::Int(b)) => match a.as_i64() {
            Some(a) => Some(a.cmp(b)),
            None => a.as_f64().and_then(|a| a.partial_cmp(&(*b as f64))),
        },
        (Value::Number(a), Literal::Float(b)) => a.as_f64().and_then(|a| a.partial_cmp(b)),
        (Value::String(a), Literal::Text(b)) => Some(a.to_lowercase().cmp(&b.to_lowercase())),
        (Value::String(a), Literal::Time(b)) => a.parse::<jiff::Timestamp>().ok().map(|a| a.as_millisecond().cmp(b)),
        _ => None,
    };
    match (compare, ordering) {
        (Compare::Eq, o) => o == Some(Ordering::Equal),
        (Compare::Ne, o) => o != Some(Ordering::Equal),
        (Compare::Gt, o) => o == Some(Ordering::Greater),
        (Compare::Ge, o) => matches!(o, Some(Ordering::Greater | Ordering::Equal)),
        (Compare::Lt, o) => o == Some(Ordering::Less),
        (Compare::Le, o) => matches!(o, Some(Ordering::Less | Ordering::Equal)),
    }
}

/// The value that `$orderby` compares, read from a document.
pub fn sort_key(entity: &Value, property: &str) -> Value {
    let value = property.split('/').fold(entity, |value, name| value.get(name).unwrap_or(&Value::Null));
    match value {
        Value::String(text) => Value::String(text.to_lowercase()),
        other => other.clone(),
    }
}

/// Orders two sort keys; null last in both directions, so that a page can end among them.
pub fn compare_keys(a: &Value, b: &Value, descending: bool) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let ordering = match (a, b) {
        (Value::Null, Value::Null) => return Ordering::Equal,
        (Value::Null, _) => return Ordering::Greater,
        (_, Value::Null) => return Ordering::Less,
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        _ => a.to_string().cmp(&b.to_string()),
    };
    if descending { ordering.reverse() } else { ordering }
}
