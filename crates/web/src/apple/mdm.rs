//! PUT (and POST) /mdm/apple: check-in messages and command results on one URL, told apart by the
//! prefix of `Content-Type`.
//!
//! Apple: "Check-in", "Sending MDM commands".

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_apple::{CheckIn, CommandResult, refusal};
use muster_service::{
    Error, Kind, RequestContext,
    apple::{Contact, Reply},
};

use super::identity;
use crate::{
    App,
    gate::{self, PeerCertificate},
    problem::Problem,
};

/// Largest body: app lists of Macs reach several megabytes.
pub const BODY_LIMIT: usize = 10 << 20;

const CHECK_IN: &str = "application/x-apple-aspen-mdm-checkin";
const COMMAND: &str = "application/x-apple-aspen-mdm";

/// A refusal in words that devices understand: 400, 403 with Apple's code, or our own failure.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    code: Option<&'static str>,
    message: String,
}

impl Refused {
    pub(super) fn bad(message: &str) -> Self {
        Refused { status: StatusCode::BAD_REQUEST, code: None, message: message.to_owned() }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal)
                if refusal.kind == Kind::Forbidden && refusal.code == refusal::UNRECOGNIZED_DEVICE =>
            {
                Refused { status: StatusCode::FORBIDDEN, code: Some(refusal.code), message: refusal.message }
            }
            Error::Refused(refusal) => Refused::bad(&refusal.message),
            error => {
                let problem = Problem::from(error);
                Refused { status: problem.status, code: None, message: problem.message }
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self.code {
            Some(code) => {
                let body = refusal::Refusal::new(code, &self.message).encode();
                (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            None => (self.status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.message).into_response(),
        }
    }
}

/// Takes a check-in message or a command result.
pub async fn put(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    peer: Option<Extension<PeerCertificate>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    match answer(&app, &context, peer.as_deref(), &parts.headers, body).await {
        Ok(reply) => respond(reply),
        Err(refused) => {
            tracing::debug!(status = refused.status.as_u16(), reason = refused.message, "a device was refused");
            refused.into_response()
        }
    }
}

async fn answer(
    app: &App,
    context: &RequestContext,
    peer: Option<&PeerCertificate>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Reply, Refused> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != CHECK_IN && kind != COMMAND {
        return Err(Refused::bad("Content-Type names neither a check-in nor a command result"));
    }
    let body = gate::read_body(body).await.map_err(|problem| Refused {
        status: problem.status,
        code: None,
        message: problem.message,
    })?;
    let contact = Contact {
        identity: identity::device(&app.service, peer, headers, &body).await?,
        bearer: bearer(headers).map(str::to_owned),
        correlation: context.correlation,
        address: context.address,
    };
    let malformed = |error: muster_apple::DecodeError| Refused::bad(&error.to_string());
    if kind == CHECK_IN {
        let message = CheckIn::decode(&body).map_err(malformed)?;
        Ok(app.service.apple_check_in(&contact, message).await?)
    } else {
        let result = CommandResult::decode(&body).map_err(malformed)?;
        Ok(app.service.apple_commands(&contact, result).await?)
    }
}

/// The token of `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

fn respond(reply: Reply) -> Response {
    match reply {
        Reply::Empty => (StatusCode::OK, [(header::CONTENT_LENGTH, "0")]).into_response(),
        Reply::List(bytes) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/xml")], bytes).into_response(),
        Reply::Json(bytes) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Reply::NotFound => (StatusCode::NOT_FOUND, [(header::CONTENT_LENGTH, "0")]).into_response(),
        Reply::Gone => (StatusCode::GONE, [(header::CONTENT_LENGTH, "0")]).into_response(),
    }
}
