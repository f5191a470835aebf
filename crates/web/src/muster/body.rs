//! Bodies of /muster/v1 as an extractor, and lists as Graph shows them.

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::json::object;
use crate::problem::Problem;

/// A JSON object sent as `application/json`, without repeated keys (threats E8, K2).
pub struct Body(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let bad = |status, message: &str| Problem::new(status, "BadRequest", message).into_response();
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(bad(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as application/json"));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| bad(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or did not arrive in time"))?;
        object(&bytes).map(Body).map_err(IntoResponse::into_response)
    }
}

/// A list as Graph shows lists.
pub fn list(rows: Vec<Value>) -> Json<Value> {
    Json(json!({ "value": rows }))
}
