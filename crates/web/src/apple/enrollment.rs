//! Account-driven enrollment: discovery, and the two addresses that give out profiles.
//!
//! Apple: "Discover account-driven enrollment servers", "Implementing the simple authentication
//! user-enrollment flow". The sign-in between the two is `public::authenticate`.

use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_apple::{discovery, refusal};
use muster_service::{
    Error, Kind,
    apple::account::{Discovered, ProfileAnswer},
    apple::enrollment::Method,
};
use serde::Deserialize;

use super::mdm::bearer;
use crate::{App, gate, problem::Problem};

/// Largest signed description of a machine.
pub const BODY_LIMIT: usize = muster_service::apple::account::MACHINE_INFO_BYTES;

/// What a device asks discovery.
#[derive(Debug, Default, Deserialize)]
pub struct DiscoveryQuery {
    #[serde(rename = "user-identifier")]
    user_identifier: Option<String>,
    #[serde(rename = "model-family")]
    model_family: Option<String>,
}

/// GET /.well-known/com.apple.remotemanagement
pub async fn discover(State(app): State<App>, query: Result<Query<DiscoveryQuery>, QueryRejection>) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let user = query.user_identifier.unwrap_or_default();
    match app.service.discover_enrollment(&user, query.model_family.as_deref()).await {
        Ok(Discovered::Server(server)) => json(StatusCode::OK, discovery::encode(&server)),
        Ok(Discovered::Refused(message)) => {
            let body = refusal::Refusal::new(refusal::WELL_KNOWN_FAILED, &message).encode();
            json(StatusCode::FORBIDDEN, body)
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// POST /mdm/apple/enroll/byod
pub async fn byod(State(app): State<App>, request: Request) -> Response {
    profile(app, Method::Byod, request).await
}

/// POST /mdm/apple/enroll/adde
pub async fn adde(State(app): State<App>, request: Request) -> Response {
    profile(app, Method::Adde, request).await
}

async fn profile(app: App, method: Method, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match answer(&app, method, &parts.headers, body).await {
        Ok(ProfileAnswer::Profile(profile)) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, discovery::PROFILE_TYPE)], profile).into_response()
        }
        Ok(ProfileAnswer::SignIn(challenge)) => {
            let headers = [(header::WWW_AUTHENTICATE, challenge), (header::CONTENT_LENGTH, "0".to_owned())];
            (StatusCode::UNAUTHORIZED, headers).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn answer(app: &App, method: Method, headers: &HeaderMap, body: Body) -> Result<ProfileAnswer, Problem> {
    let body = gate::read_body(body).await?;
    app.service.account_profile(method, bearer(headers), &body).await.map_err(|error| match error {
        // A 401 without a challenge would end the enrollment without a word.
        Error::Refused(refusal) if refusal.kind == Kind::Unauthenticated => {
            Problem::new(StatusCode::FORBIDDEN, refusal.code, refusal.message)
        }
        error => error.into(),
    })
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
