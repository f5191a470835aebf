//! What the resources under /muster/v1 share: bodies in, values out.

use axum::{
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::problem::Problem;

/// The approval that an answer's effect waits for.
pub(super) const APPROVAL: HeaderName = HeaderName::from_static("x-muster-approval");

/// RFC 3339 of unix ms.
pub(super) fn time(at: i64) -> Value {
    jiff::Timestamp::from_millisecond(at).map_or(Value::Null, |time| Value::String(time.to_string()))
}

/// RFC 3339 of unix ms, or null.
pub(super) fn time_or_null(at: Option<i64>) -> Value {
    at.map_or(Value::Null, time)
}

/// A JSON answer.
pub(super) fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// The same with `x-muster-approval`, where something waits for it.
pub(super) fn answer_with(status: StatusCode, value: &Value, approval: Option<Uuid>) -> Response {
    let mut response = answer(status, value);
    if let Some(value) = approval.and_then(|id| id.to_string().parse().ok()) {
        response.headers_mut().insert(APPROVAL, value);
    }
    response
}

/// A body that is a JSON object.
pub(super) fn object(body: &Bytes) -> Result<Map<String, Value>, Problem> {
    match crate::graph::parse_json(body).map_err(bad)? {
        Value::Object(map) => Ok(map),
        _ => Err(bad("the body is a JSON object")),
    }
}

/// 400.
pub(super) fn bad(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

/// An id of the path.
pub(super) fn id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| {
        Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", "there is nothing of that id; an id is a UUID")
    })
}
