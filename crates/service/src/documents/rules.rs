//! The rules of each kind of document, beyond what the type table says.

use muster_domain::rules::vocabulary;
use muster_storage::{self as storage, Tx, devices, documents, documents::Document};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::kinds::Draft;
use crate::{Error, Result};

fn needs_name(draft: &Draft, name: &str) -> Result<()> {
    match draft.text(name) {
        None => Err(Error::bad_request(format!("{name} is needed"))),
        Some(text) if text.chars().count() > 256 => {
            Err(Error::bad_request(format!("{name} may have at most 256 characters")))
        }
        Some(_) => Ok(()),
    }
}

/// deviceConfigurations: a name, and what a type cannot do without.
pub fn configuration(_: &mut dyn Tx, _: Uuid, draft: &Draft, _: Option<&Document>) -> Result<()> {
    needs_name(draft, "displayName")?;
    let needed: &[&str] = match draft.odata_type.as_str() {
        "iosCustomConfiguration" | "macOSCustomConfiguration" => &["payloadName", "payload"],
        "iosTrustedRootCertificate" | "macOSTrustedRootCertificate" => &["trustedRootCertificate"],
        "iosWiFiConfiguration"
        | "macOSWiFiConfiguration"
        | "iosEnterpriseWiFiConfiguration"
        | "macOSEnterpriseWiFiConfiguration" => &["ssid", "wiFiSecurityType"],
        _ => &[],
    };
    match needed.iter().find(|name| draft.text(name).is_none()) {
        Some(name) => Err(Error::bad_request(format!("{name} is needed on {}", draft.odata_type))),
        None => crate::desired::check::configuration(&draft.odata_type, &draft.properties),
    }
}

/// deviceCategories: one of a name.
pub fn category(tx: &mut dyn Tx, tenant: Uuid, draft: &Draft, before: Option<&Document>) -> Result<()> {
    needs_name(draft, "displayName")?;
    let name = draft.text("displayName").unwrap_or_default().to_lowercase();
    let same = documents::all_by_priority(tx, tenant, "deviceCategories")?
        .into_iter()
        .any(|other| other.display_name.to_lowercase() == name && before.is_none_or(|before| before.id != other.id));
    if same { Err(Error::conflict("a device category of this displayName is there already")) } else { Ok(()) }
}

/// A category's name stands on its devices.
pub fn category_changed(
    tx: &mut dyn Tx,
    tenant: Uuid,
    before: &Document,
    after: Option<&Document>,
    now: i64,
) -> Result<()> {
    match after {
        None => devices::forget_category(tx, tenant, before.id, now)?,
        Some(after) if after.display_name != before.display_name => {
            devices::rename_category(tx, tenant, before.id, &after.display_name, now)?
        }
        Some(_) => 0,
    };
    Ok(())
}

/// Whether a platform's filters ask about devices or apps, by Graph's word.
fn filters_of(platform: &str) -> &'static str {
    match vocabulary::filter_vocabulary(platform).map(|vocabulary| vocabulary.subject) {
        Some("app") => "apps",
        _ => "devices",
    }
}

/// What a new assignment filter has where nothing is said.
pub fn fill_filter(properties: &mut Map<String, Value>) {
    let kind = filters_of(properties.get("platform").and_then(Value::as_str).unwrap_or_default());
    let of = properties.entry("assignmentFilterManagementType").or_insert(Value::Null);
    if of.is_null() {
        *of = kind.into();
    }
    properties.entry("roleScopeTags").or_insert_with(|| json!(["0"]));
}

/// assignmentFilters: a rule that can be read, for a platform that stays.
pub fn filter(_: &mut dyn Tx, _: Uuid, draft: &Draft, before: Option<&Document>) -> Result<()> {
    needs_name(draft, "displayName")?;
    let platform = draft.text("platform").ok_or_else(|| Error::bad_request("platform is needed, such as iOS"))?;
    if let Some(before) = before
        && before.properties()?.get("platform").and_then(Value::as_str) != Some(platform)
    {
        return Err(Error::bad_request("the platform of a filter stays what it is; make another filter"));
    }
    let rule = draft.text("rule").ok_or_else(|| Error::bad_request("rule is needed"))?;
    crate::rules::filters::read(rule, platform)?;
    let kind = filters_of(platform);
    match draft.text("assignmentFilterManagementType") {
        Some(given) if given != kind => Err(Error::bad_request(format!(
            "assignmentFilterManagementType must be {kind} for the platform {platform}"
        ))),
        _ => Ok(()),
    }
}

/// A filter that something stands on stays. What follows a changed rule is marked as for every document.
pub fn filter_changed(
    tx: &mut dyn Tx,
    tenant: Uuid,
    before: &Document,
    after: Option<&Document>,
    _: i64,
) -> Result<()> {
    match after {
        None => crate::rules::filters::must_be_unused(tx, tenant, before),
        Some(_) => Ok(()),
    }
}

/// appleUserInitiatedEnrollmentProfiles: Apple's platforms, a way to enroll.
pub fn enrollment_profile(_: &mut dyn Tx, _: Uuid, draft: &Draft, _: Option<&Document>) -> Result<()> {
    needs_name(draft, "displayName")?;
    if let Some(platform) = draft.text("platform")
        && !["iOS", "macOS", "unknown"].contains(&platform)
    {
        return Err(Error::bad_request("platform must be iOS or macOS"));
    }
    match draft.text("defaultEnrollmentType") {
        None => Err(Error::bad_request("defaultEnrollmentType is needed")),
        Some(_) => Ok(()),
    }
}

/// The limit of devices a person, before anyone changes it.
pub fn default_limit() -> Draft {
    Draft {
        odata_type: "deviceEnrollmentLimitConfiguration".into(),
        properties: object(json!({
            "displayName": "All users and all devices",
            "description": "Devices that a person may enroll where nothing else is said.",
            "limit": DEFAULT_LIMIT,
            "roleScopeTagIds": ["0"],
            "deviceEnrollmentConfigurationType": "limit",
        })),
    }
}

const DEFAULT_LIMIT: i64 = 15;

/// How many devices a person may enroll.
pub fn device_limit(tx: &mut dyn Tx, tenant: Uuid) -> storage::Result<i64> {
    let stored = documents::by_id(tx, tenant, "deviceEnrollmentConfigurations", tenant)?;
    let Some(stored) = stored else { return Ok(DEFAULT_LIMIT) };
    Ok(stored.properties()?.get("limit").and_then(Value::as_i64).unwrap_or(DEFAULT_LIMIT))
}

/// deviceEnrollmentConfigurations: the default limit is changed, others come later.
pub fn enrollment_configuration(_: &mut dyn Tx, _: Uuid, draft: &Draft, before: Option<&Document>) -> Result<()> {
    if before.is_none() || draft.odata_type != "deviceEnrollmentLimitConfiguration" {
        return Err(Error::not_implemented(
            "enrollment restrictions beside the default device limit are not built yet; PATCH the default one",
        ));
    }
    match draft.properties.get("limit").and_then(Value::as_i64) {
        Some(1..=1000) => Ok(()),
        _ => Err(Error::bad_request("limit must be between 1 and 1000")),
    }
}

/// The branding that everybody sees where no other is assigned.
pub fn default_branding() -> Draft {
    Draft {
        odata_type: "intuneBrandingProfile".into(),
        properties: object(json!({
            "profileName": "Default Branding Profile",
            "isDefaultProfile": true,
            "displayName": null,
            "showLogo": false,
            "showDisplayNameNextToLogo": true,
            "isRemoveDeviceDisabled": false,
            "isFactoryResetDisabled": false,
            "disableDeviceCategorySelection": false,
            "themeColor": {"r": 0, "g": 92, "b": 162},
            "roleScopeTagIds": ["0"],
        })),
    }
}

/// intuneBrandingProfiles: texts and pictures within their limits.
pub fn branding(_: &mut dyn Tx, _: Uuid, draft: &Draft, _: Option<&Document>) -> Result<()> {
    needs_name(draft, "profileName")?;
    const TEXTS: &[(&str, usize)] = &[
        ("displayName", 40),
        ("contactITName", 40),
        ("contactITPhoneNumber", 20),
        ("contactITEmailAddress", 40),
        ("contactITNotes", 120),
        ("onlineSupportSiteUrl", 150),
        ("onlineSupportSiteName", 40),
        ("privacyUrl", 79),
        ("customPrivacyMessage", 520),
        ("customCanSeePrivacyMessage", 520),
        ("customCantSeePrivacyMessage", 520),
    ];
    for (name, limit) in TEXTS {
        if draft.text(name).is_some_and(|text| text.chars().count() > *limit) {
            return Err(Error::bad_request(format!("{name} may have at most {limit} characters")));
        }
    }
    for name in ["privacyUrl", "onlineSupportSiteUrl"] {
        if draft.text(name).is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
            return Err(Error::bad_request(format!("{name} must begin with https://")));
        }
    }
    for name in ["themeColorLogo", "lightBackgroundLogo", "landingPageCustomizedImage"] {
        let Some(image) = draft.properties.get(name).filter(|value| !value.is_null()) else { continue };
        let limit = if name == "landingPageCustomizedImage" { 1_300_000 } else { 750_000 };
        let kind = image.get("type").and_then(Value::as_str).unwrap_or_default();
        if !["image/png", "image/jpeg", "image/jpg"].contains(&kind) {
            return Err(Error::bad_request(format!("{name}.type must be image/png or image/jpeg")));
        }
        if image.get("value").and_then(Value::as_str).is_none_or(|base64| base64.len() * 3 / 4 > limit) {
            return Err(Error::bad_request(format!("{name} may have at most {} kB", limit / 1000)));
        }
    }
    Ok(())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
