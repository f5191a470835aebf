//! Devices as Graph shows them: managedDevice, the directory's device, results of actions.

use std::collections::HashMap;

use muster_storage::{Result as StoreResult, Tx, actions, devices::Device, people, people::Person};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::actions::ActionResult;

/// RFC 3339 of a time, Graph's zero time where there is none.
fn time(ms: Option<i64>) -> Value {
    let text = ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map(|time| time.to_string());
    text.unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned()).into()
}

/// Graph's deviceActionResult.
pub fn action_view(action: &ActionResult) -> Value {
    json!({
        "actionName": action.name,
        "actionState": action.state.word(),
        "startDateTime": time(Some(action.started_at)),
        "lastUpdatedDateTime": time(Some(action.updated_at)),
    })
}

/// The persons behind these devices, by id.
pub(super) fn users_of(tx: &mut dyn Tx, tenant: Uuid, devices: &[Device]) -> StoreResult<HashMap<Uuid, Person>> {
    let mut users = HashMap::new();
    for id in devices.iter().filter_map(|device| device.person_id) {
        if let std::collections::hash_map::Entry::Vacant(entry) = users.entry(id)
            && let Some(person) = people::any_by_id(tx, tenant, id)?
        {
            entry.insert(person);
        }
    }
    Ok(users)
}

/// The latest result of each action of a device.
pub(super) fn results_of(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> StoreResult<Vec<Value>> {
    let latest = actions::latest_of_device(tx, tenant, device)?;
    Ok(latest.into_iter().map(|action| action_view(&action.into())).collect())
}

/// Graph's managedDevice.
pub fn device_view(device: &Device, user: Option<&Person>, results: Vec<Value>) -> Map<String, Value> {
    let apple_type = match (device.platform.as_str(), device.product_name.as_deref().unwrap_or_default()) {
        ("macOS", _) => "macMDM",
        (_, name) if name.starts_with("iPad") => "iPad",
        (_, name) if name.starts_with("iPod") => "iPod",
        ("iPadOS", _) => "iPad",
        _ => "iPhone",
    };
    let chassis = match apple_type {
        "macMDM" => "unknown",
        "iPad" => "tablet",
        _ => "phone",
    };
    let scope_tags: Value = serde_json::from_str(&device.scope_tags).unwrap_or_else(|_| json!(["0"]));
    // A user who is gone leaves the name the device was enrolled with.
    let name = user.map(|user| user.user_principal_name.clone()).or_else(|| device.user_principal_name.clone());
    let properties = [
        ("id", json!(device.id)),
        ("userId", json!(device.person_id)),
        ("deviceName", json!(device.name)),
        ("managedDeviceName", json!(device.managed_device_name)),
        ("managedDeviceOwnerType", json!(device.owner_type)),
        ("ownerType", json!(device.owner_type)),
        ("managementState", json!(device.management_state)),
        ("enrolledDateTime", time(device.enrolled_at)),
        ("lastSyncDateTime", time(device.last_sync_at)),
        ("chassisType", json!(chassis)),
        ("deviceType", json!(apple_type)),
        ("operatingSystem", json!(device.operating_system)),
        ("osVersion", json!(device.os_version)),
        ("complianceState", json!(device.compliance_state)),
        ("complianceGracePeriodExpirationDateTime", json!("9999-12-31T23:59:59Z")),
        ("jailBroken", json!("Unknown")),
        ("managementAgent", json!("mdm")),
        ("easActivated", json!(false)),
        ("easDeviceId", json!(null)),
        ("aadRegistered", json!(true)),
        ("azureADRegistered", json!(true)),
        ("deviceRegistrationState", json!("registered")),
        ("deviceEnrollmentType", json!(device.enrollment_type)),
        ("enrollmentProfileName", json!(device.enrollment_profile_name)),
        ("lostModeState", json!("disabled")),
        ("emailAddress", json!(user.and_then(|user| user.mail.clone()).or_else(|| name.clone()))),
        ("azureADDeviceId", json!(device.azure_ad_device_id)),
        ("azureActiveDirectoryDeviceId", json!(device.azure_ad_device_id)),
        ("deviceCategoryDisplayName", json!(device.category_name.clone().unwrap_or_else(|| "Unknown".to_owned()))),
        ("isSupervised", json!(device.is_supervised)),
        ("isEncrypted", json!(device.is_encrypted)),
        ("exchangeAccessState", json!("none")),
        ("exchangeAccessStateReason", json!("none")),
        ("userPrincipalName", json!(name)),
        ("userDisplayName", json!(user.map(|user| user.display_name.clone()))),
        ("enrolledByUserPrincipalName", json!(device.user_principal_name)),
        ("manufacturer", json!(device.manufacturer)),
        ("model", json!(device.model)),
        ("serialNumber", json!(device.serial_number)),
        ("udid", json!(device.udid)),
        ("imei", json!(device.imei)),
        ("phoneNumber", json!(null)),
        ("totalStorageSpaceInBytes", json!(device.total_bytes.unwrap_or(0))),
        ("freeStorageSpaceInBytes", json!(device.free_bytes.unwrap_or(0))),
        ("managementCertificateExpirationDate", time(device.certificate_expires_at)),
        ("partnerReportedThreatState", json!("unknown")),
        ("requireUserEnrollmentApproval", json!(null)),
        ("roleScopeTagIds", json!(scope_tags)),
        ("notes", json!(device.notes)),
        ("deviceActionResults", json!(results)),
    ];
    let mut view: Map<String, Value> = properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if let Ok(more) = device.properties() {
        for (name, value) in more {
            view.entry(name).or_insert(value);
        }
    }
    view
}

/// The directory's device: what groups hold and other systems know.
pub fn directory_view(device: &Device) -> Map<String, Value> {
    let ownership = match device.owner_type.as_str() {
        "company" => json!("Company"),
        "personal" => json!("Personal"),
        _ => Value::Null,
    };
    let view = json!({
        "@odata.type": "#microsoft.graph.device",
        "id": device.directory_id,
        "deviceId": device.azure_ad_device_id,
        "displayName": device.name,
        "accountEnabled": true,
        "operatingSystem": device.operating_system,
        "operatingSystemVersion": device.os_version,
        "deviceOwnership": ownership,
        "isManaged": true,
        "isCompliant": device.compliance_state == "compliant",
        "isRooted": null,
        "managementType": "MDM",
        "mdmAppId": null,
        "enrollmentType": device.enrollment_type,
        "enrollmentProfileName": device.enrollment_profile_name,
        "deviceCategory": device.category_name,
        "manufacturer": device.manufacturer,
        "model": device.model,
        "profileType": "RegisteredDevice",
        "trustType": "Workplace",
        "registrationDateTime": time(device.enrolled_at),
        "approximateLastSignInDateTime": time(device.last_sync_at),
        "createdDateTime": time(Some(device.created_at)),
        "physicalIds": [],
        "systemLabels": [],
        "alternativeSecurityIds": [],
    });
    match view {
        Value::Object(view) => view,
        _ => Map::new(),
    }
}
