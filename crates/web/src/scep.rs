//! SCEP over HTTP (RFC 8894 section 4) and the revocation lists.
//!
//! A refusal is a CertRep with status 200; only what is no SCEP message at all is a 400.

use axum::{
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;

use crate::{
    App,
    gate::{Asked, BoundedBytes},
    problem::Problem,
    routes::KIB,
};

/// Most bytes of a pkiMessage.
pub const BODY_LIMIT: usize = 64 * KIB;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The query of every SCEP request.
#[derive(Debug, Deserialize)]
pub struct Operation {
    #[serde(default)]
    operation: String,
    message: Option<String>,
}

fn bad(message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

fn typed(kind: &'static str, body: Vec<u8>) -> Response {
    let headers: [(HeaderName, &str); 2] = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}

/// GetCACaps, GetCACert, and PKIOperation of clients that cannot POST.
pub async fn get(State(app): State<App>, Asked(query): Asked<Operation>) -> Result<Response, Problem> {
    match query.operation.as_str() {
        "GetCACaps" => Ok(typed("text/plain", app.service.scep_capabilities().into_bytes())),
        "GetCACert" => {
            let der = app.service.scep_authority(query.message.as_deref()).await?;
            Ok(typed("application/x-x509-ca-cert", der))
        }
        "PKIOperation" => {
            // A plus sign that was sent as it is has become a space.
            let text = query.message.ok_or_else(|| bad("PKIOperation by GET needs the parameter message"))?;
            let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let message = BASE64.decode(text.replace(' ', "+")).map_err(|_| bad("the message is not base64"))?;
            answer(&app, message).await
        }
        _ => Err(bad("operation must be GetCACaps, GetCACert or PKIOperation")),
    }
}

/// PKIOperation.
pub async fn post(
    State(app): State<App>,
    Asked(query): Asked<Operation>,
    BoundedBytes(body): BoundedBytes,
) -> Result<Response, Problem> {
    if query.operation != "PKIOperation" {
        return Err(bad("only PKIOperation is sent by POST"));
    }
    answer(&app, body.to_vec()).await
}

async fn answer(app: &App, message: Vec<u8>) -> Result<Response, Problem> {
    Ok(typed("application/x-pki-message", app.service.scep_operation(message).await?))
}

/// A revocation list: `device.crl`, `access.crl`.
pub async fn crl(State(app): State<App>, Path(file): Path<String>) -> Result<Response, Problem> {
    let list = match file.strip_suffix(".crl") {
        Some(name) => app.service.crl(name).await?,
        None => None,
    };
    let list = list.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", "there are the lists device.crl and access.crl")
    })?;
    let headers = [(header::CONTENT_TYPE, "application/pkix-crl"), (header::CACHE_CONTROL, "public, max-age=60")];
    Ok((headers, list.to_vec()).into_response())
}
