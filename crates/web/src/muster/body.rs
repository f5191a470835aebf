//! Bodies of /muster/v1 as an extractor, and lists as Graph shows them.

use axum::{
    Json,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use serde_json::{Map, Value, json};

use super::json::object;
use crate::{gate, problem::Problem};

/// A JSON object sent as `application/json`, without repeated keys (threats E8, K2).
pub struct Body(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "send the body with Content-Type: application/json",
            ));
        }
        object(&gate::read_body(request.into_body()).await?).map(Body)
    }
}

/// A list as Graph shows lists.
pub fn list(rows: Vec<Value>) -> Json<Value> {
    Json(json!({ "value": rows }))
}
