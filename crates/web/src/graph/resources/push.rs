//! Apple's push certificate.

use axum::http::StatusCode;
use base64::Engine as _;
use muster_domain::roles::Permission;
use muster_service::apple::push_certificate::{PushCertificateView, PushImport};
use serde_json::{Map, Value, json};

use super::row;
use crate::{
    graph::{Answer, Call, bad, registry::Resource},
    problem::Problem,
    routes::KIB,
};

use Permission::{ServiceConfigRead, ServiceConfigReadWrite};

const PATH: &str = "deviceManagement/applePushNotificationCertificate";
const TYPE: &str = "applePushNotificationCertificate";
const REQUEST: &str = "downloadApplePushNotificationCertificateSigningRequest";

pub fn rows() -> Vec<Resource> {
    vec![
        row!(GET PATH, Entity TYPE, ServiceConfigRead, 0, "The push certificate", get),
        row!(PATCH PATH, Entity TYPE, ServiceConfigReadWrite, 256 * KIB, "Import a push certificate", patch),
        // Downloading makes the key of the request, so it is more than reading.
        row!(GET format!("{PATH}/{REQUEST}"), Operation TYPE, ServiceConfigReadWrite, 0, "A certificate request for Apple's portal", request),
    ]
}

fn time(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |time| time.to_string().into())
}

fn view(found: &PushCertificateView, tenant: uuid::Uuid) -> Map<String, Value> {
    let view = json!({
        "id": tenant,
        "appleIdentifier": found.apple_identifier,
        "topicIdentifier": found.topic,
        "lastModifiedDateTime": time(found.modified_at),
        "expirationDateTime": time(found.not_after),
        "certificateUploadStatus": "Success",
        "certificateUploadFailureReason": null,
        "certificateSerialNumber": found.serial,
        "certificate": found.certificate,
    });
    match view {
        Value::Object(view) => view,
        _ => Map::new(),
    }
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let found = call.app.service.push_certificate(call.actor.tenant).await?.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!("there is no push certificate yet; download a request from {REQUEST}(), have Apple sign it, and PATCH the result"),
        )
    })?;
    Ok(Answer::entity(view(&found, call.actor.tenant)))
}

async fn request(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::value(Value::String(call.app.service.push_certificate_request(&call.actor).await?)))
}

/// `certificate` is PEM or base64 of PEM, DER or PKCS#12 (then with our own `password`); our own
/// `privateKey` may come beside it.
async fn patch(call: Call) -> Result<Answer, Problem> {
    let bytes = |name: &str| match call.parameter(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.contains("-----BEGIN") => Ok(Some(text.clone().into_bytes())),
        Some(Value::String(text)) => {
            let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(compact);
            decoded.map(Some).map_err(|_| bad(format!("{name} must be PEM or base64")))
        }
        Some(_) => Err(bad(format!("{name} must be a text"))),
    };
    call.body()?;
    let certificate = bytes("certificate")?.ok_or_else(|| bad("certificate is needed, PEM or base64"))?;
    let text = |name: &str| call.parameter(name).and_then(Value::as_str).map(str::to_owned);
    let opened = PushImport::from_pkcs12(&certificate, text("password").unwrap_or_default().into()).transpose()?;
    let import = match opened {
        Some(opened) => PushImport { apple_identifier: text("appleIdentifier"), ..opened },
        None => {
            PushImport { certificate, private_key: bytes("privateKey")?, apple_identifier: text("appleIdentifier") }
        }
    };
    let found = call.app.service.import_push_certificate(&call.actor, import).await?;
    Ok(Answer::entity(view(&found, call.actor.tenant)))
}
