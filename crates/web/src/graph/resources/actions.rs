//! What is asked of devices beyond one verb on one device: `executeAction`, recovery keys.

use axum::http::StatusCode;
use muster_domain::{actions::Verb, roles::Permission};
use muster_service::actions::{BulkRequest, BulkResult, Revealed};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{devices::parameters, row};
use crate::{
    graph::{Answer, Call, bad, registry::Resource},
    problem::Problem,
    routes::KIB,
};

/// Graph's cap of `executeAction`.
const CAP: usize = 100;

/// Every parameter that Graph knows of `executeAction`, and the verb that takes it. Clients send all of
/// them; one that belongs to another verb is ignored, an unknown one refused.
const PARAMETERS: &[(&str, Option<Verb>)] = &[
    ("keepEnrollmentData", Some(Verb::Wipe)),
    ("keepUserData", Some(Verb::Wipe)),
    ("persistEsimDataPlan", Some(Verb::Wipe)),
    ("useProtectedWipe", Some(Verb::Wipe)),
    ("obliterationBehavior", Some(Verb::Wipe)),
    ("deviceName", Some(Verb::SetDeviceName)),
    ("notificationTitle", Some(Verb::SendCustomNotificationToCompanyPortal)),
    ("notificationBody", Some(Verb::SendCustomNotificationToCompanyPortal)),
    ("carrierUrl", None),
    ("deprovisionReason", None),
    ("organizationalUnitPath", None),
    ("platform", None),
];

pub fn rows() -> Vec<Resource> {
    vec![
        row!(POST "deviceManagement/managedDevices/executeAction", Operation "managedDevice", Permission::BulkActions, 64 * KIB, "One action for up to a hundred devices of one system", execute, beta),
        row!(GET "deviceManagement/managedDevices/{id}/getFileVaultKey", Operation "managedDevice", Permission::Reveal, 0, "Reveal a Mac's recovery key", file_vault_key, beta),
    ]
}

async fn execute(call: Call) -> Result<Answer, Problem> {
    let mut fields = parameters(&call)?;
    let name = fields.remove("actionName");
    let name = name.as_ref().and_then(Value::as_str).ok_or_else(|| bad("actionName is needed"))?;
    let verb = Verb::from_name(name).ok_or_else(|| bad(format!("executeAction has no action {name:?}")))?;
    let asked = match fields.remove("deviceIds") {
        Some(Value::Array(ids)) => ids,
        _ => return Err(bad("deviceIds is needed, a list of device ids")),
    };
    if asked.len() > CAP {
        return Err(bad(format!("executeAction takes {CAP} devices at most; /muster/v1/bulkActions takes more")));
    }
    let (mut devices, mut unknown) = (Vec::new(), Vec::new());
    for id in &asked {
        let id = id.as_str().ok_or_else(|| bad("deviceIds is a list of device ids"))?;
        match id.parse::<Uuid>() {
            Ok(id) => devices.push(id),
            // What cannot be an id of ours is the id of no device.
            Err(_) => unknown.push(id.to_owned()),
        }
    }
    if let Some(unknown) = fields.keys().find(|field| !PARAMETERS.iter().any(|(name, _)| name == field)) {
        return Err(bad(format!("executeAction has no parameter {unknown}")));
    }
    fields.retain(|field, _| PARAMETERS.iter().any(|(name, of)| name == field && *of == Some(verb)));
    let override_personal = call.override_word.as_deref() == Some("personalDevice");
    let request = BulkRequest { verb, parameters: fields, devices, override_personal, cap: Some(CAP) };
    let result = match request.devices.is_empty() && !unknown.is_empty() {
        true => BulkResult::default(),
        false => call.app.service.request_bulk_action(&call.actor, request).await?,
    };
    unknown.extend(result.not_found.iter().map(Uuid::to_string));
    let answer = Answer::value(json!({
        "@odata.type": "#microsoft.graph.bulkManagedDeviceActionResult",
        "successfulDeviceIds": result.successful,
        "failedDeviceIds": result.failed,
        "notFoundDeviceIds": unknown,
        "notSupportedDeviceIds": result.not_supported,
    }));
    Ok(match result.approval {
        Some(approval) => answer.with_header("x-muster-approval", approval.to_string()),
        None => answer,
    })
}

async fn file_vault_key(call: Call) -> Result<Answer, Problem> {
    match call.app.service.reveal(&call.actor, call.id(0)?, Revealed::FileVaultKey).await? {
        Some(key) => Ok(Answer::value(Value::String(key.expose().clone()))),
        None => {
            Err(Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", "no recovery key of this device is in escrow"))
        }
    }
}
