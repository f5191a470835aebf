//! The one mapping from a service error to an HTTP answer, in Graph's error shape.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_service::{Error, Kind, Refusal};
use serde_json::json;

/// An error answer. The body is written by [`render`] at the very edge, where the request's ids
/// are known.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Status of the answer.
    pub status: StatusCode,
    /// Graph's or our code.
    pub code: &'static str,
    /// For the caller to read.
    pub message: String,
    /// Seconds.
    pub retry_after: Option<u32>,
    /// Methods that are offered, where the one asked for is not (RFC 9110 section 15.5.6).
    pub allow: Option<String>,
}

impl Problem {
    /// A problem with its parts.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Problem { status, code, message: message.into(), retry_after: None, allow: None }
    }
}

/// The status that a kind of refusal has on the API.
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadRequest => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Gone => StatusCode::GONE,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem {
            status: status_of(refusal.kind),
            code: refusal.code,
            message: refusal.message,
            retry_after: refusal.retry_after,
            allow: None,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            error if error.is_unavailable() => {
                tracing::error!(%error, "the database is not available");
                Problem {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    code: "ServiceUnavailable",
                    message: "the server cannot reach its database at the moment; try again".into(),
                    retry_after: Some(5),
                    allow: None,
                }
            }
            error => {
                tracing::error!(%error, "internal error");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalServerError",
                    "the server failed at this request; its log has the cause under the request-id",
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a [`Problem`] that a handler left in the answer.
pub fn render(problem: &Problem, request_id: uuid::Uuid, client_request_id: Option<&str>, now: i64) -> Response {
    let date =
        jiff::Timestamp::from_millisecond(now).map(|t| t.strftime("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default();
    let id = request_id.to_string();
    let body = json!({
        "error": {
            "code": problem.code,
            "message": problem.message,
            "innerError": {
                "date": date,
                "request-id": id,
                "client-request-id": client_request_id.unwrap_or(&id),
            }
        }
    });
    let mut response = (problem.status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    if let Some(methods) = problem.allow.as_deref().and_then(|methods| HeaderValue::from_str(methods).ok()) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
