//! Answers of the API: contexts, pages, next links, `$select`, `$expand`, and lists that fit in memory.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_domain::query::{self, After};
use muster_pki::Secret;
use serde_json::{Map, Value, json};

use super::{
    Call, Version, body,
    filter::short,
    options::{Expand, Options, encode_after},
    registry::{self, Resource, Shape},
    types::table,
};
use crate::problem::Problem;

/// Items of a page where the caller asks for no number.
const DEFAULT_TOP: usize = 1000;

/// What a handler answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The content.
    pub content: Content,
    /// Status.
    pub status: StatusCode,
    /// Version for `ETag`.
    pub version: Option<i64>,
    /// Further headers.
    pub headers: Vec<(HeaderName, String)>,
    /// Secrets of the entity, opened for this caller; everywhere else they are null.
    pub revealed: Vec<(String, Secret<String>)>,
}

/// Content of an answer.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing.
    None,
    /// One entity.
    Entity(Map<String, Value>),
    /// A page the handler made: items, where it ended if there is more, the count if asked for.
    Page(Vec<Map<String, Value>>, Option<After>, Option<i64>),
    /// A whole list; filter, order and paging happen here.
    Whole(Vec<Map<String, Value>>),
    /// A value that is no entity, as it is.
    Value(Value),
}

impl Answer {
    fn of(status: StatusCode, content: Content) -> Answer {
        Answer { content, status, version: None, headers: Vec::new(), revealed: Vec::new() }
    }
    /// 204.
    pub fn none() -> Answer {
        Answer::of(StatusCode::NO_CONTENT, Content::None)
    }
    /// 200 with an entity.
    pub fn entity(entity: Map<String, Value>) -> Answer {
        Answer::of(StatusCode::OK, Content::Entity(entity))
    }
    /// 201 with an entity.
    pub fn created(entity: Map<String, Value>) -> Answer {
        Answer::of(StatusCode::CREATED, Content::Entity(entity))
    }
    /// 200 with a list that is whole.
    pub fn whole(items: Vec<Map<String, Value>>) -> Answer {
        Answer::of(StatusCode::OK, Content::Whole(items))
    }
    /// 200 with a page.
    pub fn page(items: Vec<Map<String, Value>>, next: Option<After>, count: Option<i64>) -> Answer {
        Answer::of(StatusCode::OK, Content::Page(items, next, count))
    }
    /// 200 with `{"value": ..}`.
    pub fn value(value: Value) -> Answer {
        Answer::of(StatusCode::OK, Content::Value(json!({ "value": value })))
    }
    /// The same with a version for `ETag`.
    pub fn with_version(mut self, version: i64) -> Answer {
        self.version = Some(version);
        self
    }
    /// The same with a header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }
    /// The same with another status.
    pub fn with_status(mut self, status: StatusCode) -> Answer {
        self.status = status;
        self
    }
}

/// Page size of a call.
pub fn top(options: &Options) -> usize {
    options.top.unwrap_or(DEFAULT_TOP)
}

/// Graph's context: the path with ids in it.
fn context(call: &Call, shape: Shape) -> String {
    let base = &call.app.service.settings.addresses.admin;
    let mut path = String::new();
    let mut keys = call.keys.iter().peekable();
    let parts: Vec<&str> = call.resource.parts().collect();
    for (i, part) in parts.iter().enumerate() {
        if part.starts_with('{') {
            let key = keys.next().map_or("", String::as_str).replace('\'', "''");
            // The last key names the entity itself; its context is the collection's.
            if i + 1 == parts.len() {
                break;
            }
            path.push_str(&format!("('{key}')"));
        } else if !part.starts_with('$') {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
        }
    }
    let singleton = shape == Shape::Entity && !parts.last().is_some_and(|part| part.starts_with('{'));
    let created = call.resource.shape == Shape::Collection;
    let suffix = if shape == Shape::Entity && (!singleton || created) { "/$entity" } else { "" };
    let select = match call.options.select.is_empty() {
        true => String::new(),
        false => format!("({})", call.options.select.join(",")),
    };
    format!("{base}/{}/$metadata#{path}{select}{suffix}", call.version.as_str())
}

/// Writes an answer.
pub async fn render(call: &Call, answer: Answer) -> Result<Response, Problem> {
    let Answer { content, status, version, headers, revealed } = answer;
    let body = match content {
        Content::None => None,
        Content::Value(mut value) => {
            if let Some(map) = value.as_object_mut()
                && !map.contains_key("@odata.context")
            {
                let mut with = Map::new();
                with.insert("@odata.context".into(), context(call, Shape::Operation).into());
                with.append(map);
                value = Value::Object(with);
            }
            Some(value)
        }
        Content::Entity(entity) => {
            let mut items = vec![entity];
            finish(call, call.resource.entity, &call.options, &mut items).await?;
            let mut with = Map::new();
            with.insert("@odata.context".into(), context(call, Shape::Entity).into());
            if let Some(version) = version {
                with.insert("@odata.etag".into(), etag(version).into());
            }
            with.extend(items.into_iter().next().unwrap_or_default());
            for (name, secret) in revealed {
                with.insert(name, Value::String(secret.expose().clone()));
            }
            Some(Value::Object(with))
        }
        Content::Page(items, next, count) => Some(list(call, items, next, count).await?),
        Content::Whole(items) => {
            let (items, next, count) = window(items, &call.options)?;
            Some(list(call, items, next, Some(count)).await?)
        }
    };
    if call.count_only {
        let count = body.as_ref().and_then(|body| body.get("@odata.count")).and_then(Value::as_i64).unwrap_or(0);
        return Ok(([(header::CONTENT_TYPE, "text/plain")], count.to_string()).into_response());
    }
    let mut response = match body {
        Some(body) => {
            let mut response = (status, Json(body)).into_response();
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(
                    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
                ),
            );
            response
        }
        None => status.into_response(),
    };
    response.headers_mut().insert(HeaderName::from_static("odata-version"), HeaderValue::from_static("4.0"));
    if let Some(version) = version
        && let Ok(value) = HeaderValue::from_str(&etag(version))
    {
        response.headers_mut().insert(header::ETAG, value);
    }
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

async fn list(
    call: &Call,
    mut items: Vec<Map<String, Value>>,
    next: Option<After>,
    count: Option<i64>,
) -> Result<Value, Problem> {
    finish(call, call.resource.entity, &call.options, &mut items).await?;
    let mut with = Map::new();
    with.insert("@odata.context".into(), context(call, Shape::Collection).into());
    if let Some(count) = count.filter(|_| call.options.count || call.count_only) {
        with.insert("@odata.count".into(), count.into());
    }
    with.insert("value".into(), items.into_iter().map(Value::Object).collect());
    if let Some(next) = next {
        with.insert("@odata.nextLink".into(), next_link(call, &next).into());
    }
    Ok(Value::Object(with))
}

/// An absolute address at our base that repeats the options and goes on behind the last item.
fn next_link(call: &Call, after: &After) -> String {
    let base = &call.app.service.settings.addresses.admin;
    let mut link = format!("{base}/{}", call.version.as_str());
    for part in call.resource.filled(&call.keys).split('/') {
        link.push('/');
        link.push_str(&encode(part));
    }
    link.push('?');
    for (key, value) in &call.pairs {
        if key != "skip" && key != "skiptoken" {
            link.push_str(&format!("${key}={}&", encode(value)));
        }
    }
    link.push_str("$skiptoken=");
    link.push_str(&encode_after(after, &call.pairs));
    link
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' | b',' | b'$' => {
                encoded.push(byte as char);
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

type Window = (Vec<Map<String, Value>>, Option<After>, i64);

/// Filter, search, order and page of a list in memory.
fn window(items: Vec<Map<String, Value>>, options: &Options) -> Result<Window, Problem> {
    let is_a = |name: &str, base: &str| table().is_a(name, base);
    let mut items: Vec<Value> = items.into_iter().map(Value::Object).collect();
    if let Some(filter) = &options.filter {
        items.retain(|item| query::matches(filter, item, &is_a));
    }
    for (property, text) in &options.search {
        let text = text.to_lowercase();
        let named = property.as_deref().unwrap_or("displayName");
        items.retain(|item| {
            item.get(named).and_then(Value::as_str).is_some_and(|value| value.to_lowercase().contains(&text))
        });
    }
    let count = items.len() as i64;
    let id_of = |item: &Value| {
        item.get("id").and_then(Value::as_str).and_then(|id| uuid::Uuid::try_parse(id.get(..36).unwrap_or(id)).ok())
    };
    let mut start = options.skip;
    let key_of =
        |item: &Value| options.order.first().map_or(Value::Null, |order| query::sort_key(item, &order.property));
    if let Some(order) = options.order.first() {
        // Stable: what was ordered before stays so among equals, ids decide at last.
        items.sort_by_cached_key(|item| id_of(item));
        items.sort_by(|a, b| query::compare_keys(&key_of(a), &key_of(b), order.descending));
    }
    if let Some(after) = &options.after {
        // The list may have changed since: go on behind the place where the item was.
        start = match items.iter().position(|item| id_of(item) == Some(after.id)) {
            Some(at) => at + 1,
            None => match options.order.first() {
                Some(order) => items
                    .iter()
                    .take_while(|item| query::compare_keys(&key_of(item), &after.key, order.descending).is_le())
                    .count(),
                None => items.iter().take_while(|item| id_of(item) <= Some(after.id)).count(),
            },
        };
    }
    let size = top(options);
    let more = items.len() > start + size;
    let page: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let next = match (more, page.last()) {
        (true, Some(last)) => id_of(last).map(|id| After { key: key_of(last), id }),
        _ => None,
    };
    let page = page.into_iter().filter_map(|item| match item {
        Value::Object(map) => Some(map),
        _ => None,
    });
    Ok((page.collect(), next, count))
}

/// `$expand`, the surface's own view, `$select`.
async fn finish(call: &Call, entity: &str, options: &Options, items: &mut [Map<String, Value>]) -> Result<(), Problem> {
    for expand in &options.expand {
        expand_link(call, entity, expand, items).await?;
    }
    for item in items.iter_mut() {
        body::fit(item, entity, call.version);
        if !options.select.is_empty() {
            selected_are_there(item, entity, &options.select, call.version);
            let expanded: Vec<&str> = options.expand.iter().map(|expand| expand.link.as_str()).collect();
            item.retain(|name, _| {
                let bare = name.split('@').next().unwrap_or(name);
                name == "id"
                    || name == "@odata.type"
                    || options.select.iter().any(|selected| selected.split('/').next() == Some(name))
                    || expanded.contains(&bare)
            });
        }
    }
    Ok(())
}

/// A property that was asked for by name and has no value is null, not absent.
fn selected_are_there(item: &mut Map<String, Value>, entity: &str, select: &[String], version: Version) {
    let name = item.get("@odata.type").and_then(Value::as_str).map(short);
    for selected in select {
        let name = name.as_deref().unwrap_or(entity);
        let found = table().property(name, selected).filter(|found| !found.link && found.in_version(version));
        if let Some(found) = found
            && !item.contains_key(selected)
        {
            let empty = if found.collection { Value::Array(Vec::new()) } else { Value::Null };
            item.insert(selected.clone(), empty);
        }
    }
}

/// Puts the link's entities into each item, through the link's own row and its permission.
fn expand_link<'a>(
    call: &'a Call,
    entity: &'a str,
    expand: &'a Expand,
    items: &'a mut [Map<String, Value>],
) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 'a>> {
    Box::pin(async move {
        let served = |name: &str| match &expand.cast {
            Some(cast) => table().is_a(name, cast),
            None => true,
        };
        let Some((row, needs_key)) = row_of(call, &expand.link) else {
            let any = items.iter().any(|item| {
                let name = item.get("@odata.type").and_then(Value::as_str).map(short);
                served(name.as_deref().unwrap_or(entity))
            });
            if expand.cast.is_some() && !any {
                return Ok(());
            }
            return Err(Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                format!("$expand={} is not supported on {entity}", expand.link),
            ));
        };
        crate::authentication::permit(&call.actor, row.permission)?;
        for item in items.iter_mut() {
            let name = item.get("@odata.type").and_then(Value::as_str).map(short);
            if !served(name.as_deref().unwrap_or(entity)) {
                continue;
            }
            let mut keys = call.keys.clone();
            if needs_key {
                keys.push(item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned());
            }
            let inner = Call {
                resource: row,
                keys,
                options: expand.options.clone(),
                pairs: Vec::new(),
                body: None,
                if_match: None,
                count_only: false,
                ..call.clone()
            };
            let answer = match (row.handler)(inner.clone()).await {
                Ok(answer) => answer,
                Err(problem) if problem.status == StatusCode::NOT_FOUND => Answer::none(),
                Err(problem) => return Err(problem),
            };
            let value = match answer.content {
                Content::Whole(found) => {
                    let (mut found, _, _) = window(found, &expand.options)?;
                    finish(&inner, row.entity, &expand.options, &mut found).await?;
                    Value::Array(found.into_iter().map(Value::Object).collect())
                }
                Content::Page(mut found, _, _) => {
                    finish(&inner, row.entity, &expand.options, &mut found).await?;
                    Value::Array(found.into_iter().map(Value::Object).collect())
                }
                Content::Entity(found) => {
                    let mut found = [found];
                    finish(&inner, row.entity, &expand.options, &mut found).await?;
                    let [found] = found;
                    Value::Object(found)
                }
                Content::Value(value) => value,
                Content::None => Value::Null,
            };
            item.insert(format!("{}@odata.context", expand.link), context(&inner, row.shape).into());
            item.insert(expand.link.clone(), value);
        }
        Ok(())
    })
}

/// The row of a link below the call's entity; true where the item's id is a key more.
fn row_of(call: &Call, link: &str) -> Option<(&'static Resource, bool)> {
    let path = &call.resource.path;
    let below = |base: &str| {
        let wanted = format!("{base}/{link}");
        registry::registry().iter().find(|row| {
            row.method == axum::http::Method::GET
                && row.path.eq_ignore_ascii_case(&wanted)
                && (call.version == Version::Beta || !row.beta)
        })
    };
    match call.resource.shape {
        Shape::Collection => below(&format!("{path}/{{id}}")).map(|row| (row, true)),
        _ => below(path).map(|row| (row, false)),
    }
}
