//! The API: Microsoft Graph's surface, one entry for `/v1.0` and one for `/beta`.
//!
//! `address.rs` brings a path to one form, `registry.rs` finds its row, `options.rs` and `filter.rs`
//! read what is asked, `body.rs` checks what is sent against `types.rs`, `resources/` has the handlers,
//! `answer.rs` writes. The order is: authenticate (the gate), authorise, then read the body.

mod address;
mod answer;
mod body;
mod filter;
mod json;
mod options;
mod references;
mod registry;
mod resources;
mod schemas;
mod types;

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_service::Actor;
use serde_json::Value;

pub use address::Version;
pub use answer::Answer;
pub(crate) use json::parse as parse_json;
pub use registry::{Resource, Shape, registry};
pub use schemas::schemas;

use crate::{App, authentication, gate, problem::Problem};
use options::Options;

/// Most bytes that any resource's body may have; each row has its own limit below.
pub const BODY_LIMIT: usize = 8 * crate::routes::MIB;

/// One request of the API as its handler sees it.
#[derive(Clone)]
pub struct Call {
    /// State.
    pub app: App,
    /// The caller.
    pub actor: Actor,
    /// Surface.
    pub version: Version,
    /// The row.
    pub resource: &'static Resource,
    /// Keys of the path.
    pub keys: Vec<String>,
    /// A type cast in the path.
    pub cast: Option<String>,
    /// Parameters of a function's call.
    pub arguments: Vec<(String, String)>,
    /// Query options.
    pub options: Options,
    /// The same as sent, for next links.
    pub pairs: Vec<(String, String)>,
    /// Body, if one was sent.
    pub body: Option<Value>,
    /// The version of `If-Match`.
    pub if_match: Option<i64>,
    /// Only the number of items is asked for.
    pub count_only: bool,
    /// `X-Muster-Override`.
    pub override_word: Option<String>,
}

impl Call {
    /// A key of the path that must be a UUID of ours.
    pub fn id(&self, at: usize) -> Result<uuid::Uuid, Problem> {
        let key = self.key(at);
        uuid::Uuid::try_parse(key).map_err(|_| self.unknown(key))
    }

    /// A key of the path.
    pub fn key(&self, at: usize) -> &str {
        self.keys.get(at).map_or("", String::as_str)
    }

    /// 404 for a key.
    pub fn unknown(&self, key: &str) -> Problem {
        let key: String = key.chars().take(80).collect();
        Problem::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!("there is no {} with the id '{key}'", self.resource.entity),
        )
    }

    /// The body, which must be there.
    pub fn body(&self) -> Result<&Value, Problem> {
        self.body.as_ref().ok_or_else(|| bad("this request needs a JSON body"))
    }

    /// A parameter of an action's body, null and absent alike none; names in any letter case.
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        let body = self.body.as_ref()?.as_object()?;
        body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).filter(|v| !v.is_null())
    }
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

/// The one handler of `/v1.0` and `/beta`.
pub async fn entry(State(app): State<App>, Extension(actor): Extension<Actor>, request: Request) -> Response {
    match enter(app, actor, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn enter(app: App, actor: Actor, request: Request) -> Result<Response, Problem> {
    let (parts, incoming) = request.into_parts();
    let address = address::parse(&parts.uri)?;
    let found = registry::find(&parts.method, &address)?;
    authentication::permit(&actor, found.resource.permission)?;
    let reading = parts.method == Method::GET || parts.method == Method::HEAD;
    // Tools put options on writes, where they say nothing.
    let options = match reading {
        true => options::parse(&address.options, found.resource.entity)?,
        false => Options::default(),
    };
    let body = read(&parts.headers, incoming, found.resource.body_limit).await?;
    let call = Call {
        app,
        actor,
        version: address.version,
        resource: found.resource,
        keys: found.keys,
        cast: address.cast,
        arguments: address.arguments,
        options,
        pairs: address.options,
        body,
        if_match: if_match(&parts.headers)?,
        count_only: found.count,
        override_word: parts.headers.get("x-muster-override").and_then(|v| v.to_str().ok()).map(str::to_owned),
    };
    let answer = (call.resource.handler)(call.clone()).await?;
    answer::render(&call, answer).await
}

async fn read(headers: &HeaderMap, incoming: axum::body::Body, limit: usize) -> Result<Option<Value>, Problem> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    // Tools send empty objects where nothing is expected.
    let limit = limit.max(crate::routes::KIB);
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("the body of this request may have at most {limit} bytes"),
        )
    };
    if length.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let bytes = gate::read_body(incoming).await?;
    if bytes.len() > limit {
        return Err(too_large());
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "send the body with Content-Type: application/json",
        ));
    }
    json::parse(&bytes).map(Some).map_err(bad)
}

/// `W/"3"`, `"3"`, or `*` for any.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.trim_start_matches("W/").trim_matches('"').parse::<i64>();
    // An ETag that was never ours cannot be current.
    Ok(Some(number.unwrap_or(-1)))
}
