//! What is true of policies on devices: what the device said, and what was not sent and why.
//!
//! A setting that is sent has the state of its item; exceptions are rows of their own. Words are
//! Graph's `complianceStatus`: pending is `unknown`, succeeded is `compliant`.

use std::collections::BTreeMap;

use muster_storage::{
    devices, documents, enrollments, facts,
    items::{self, DocumentState, Item, state},
    setting_states::{self, SettingState},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::CONFIGURATIONS;
use crate::{Error, Result, Service, people::time_text};

/// Rows of one answer.
const PAGE: i64 = 1_000;

/// Graph's word for a state.
fn compliance_status(word: &str) -> &'static str {
    match word {
        state::SUCCEEDED => "compliant",
        state::ERROR => "error",
        state::CONFLICT => "conflict",
        state::NOT_APPLICABLE => "notApplicable",
        _ => "unknown",
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// One document on one device.
fn configuration_state(item: &Item, version: i64, platform: &str, exceptions: &[SettingState]) -> Map<String, Value> {
    let stored: Value = serde_json::from_str(&item.content).unwrap_or_default();
    let name = stored["name"].as_str().unwrap_or_default().to_owned();
    let error: Value = item.error.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    // A setting that was sent knows nothing of its document's conflicts.
    let sent = match item.state.as_str() {
        state::CONFLICT | state::NOT_APPLICABLE if item.reported_version == item.desired_version => state::SUCCEEDED,
        other => other,
    };
    let own = json!([{ "id": item.document_id, "displayName": name, "sourceType": "deviceConfiguration" }]);
    let mut settings: Vec<Value> = stored["settings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|setting| {
            json!({
                "setting": setting,
                "settingName": setting,
                "instanceDisplayName": name,
                "state": compliance_status(sent),
                "errorCode": error["code"].as_i64().unwrap_or(0),
                "errorDescription": error["message"],
                "currentValue": null,
                "sources": own,
            })
        })
        .collect();
    settings.extend(exceptions.iter().map(|exception| {
        let sources: Value = serde_json::from_str(&exception.sources).unwrap_or_default();
        let sources: Vec<Value> = sources
            .as_array()
            .into_iter()
            .flatten()
            .map(|source| {
                json!({ "id": source["id"], "displayName": source["displayName"],
                    "sourceType": "deviceConfiguration" })
            })
            .collect();
        json!({
            "setting": exception.setting,
            "settingName": exception.setting,
            "instanceDisplayName": name,
            "state": exception.state,
            "errorCode": 0,
            "errorDescription": exception.reason,
            "currentValue": null,
            "sources": if sources.is_empty() { own.clone() } else { json!(sources) },
        })
    }));
    object(json!({
        "id": item.document_id,
        "displayName": name,
        "version": version,
        "platformType": platform,
        "state": compliance_status(&item.state),
        "settingCount": settings.len(),
        "settingStates": settings,
    }))
}

/// A document's state on a device, as the document lists it.
fn device_status(row: &DocumentState) -> Map<String, Value> {
    object(json!({
        "id": format!("{}_{}", row.enrollment_id, row.device_id),
        "deviceDisplayName": row.device_name,
        "userName": row.user_principal_name,
        "userPrincipalName": row.user_principal_name,
        "deviceModel": row.model,
        "platform": 0,
        "status": compliance_status(&row.state),
        "lastReportedDateTime": time_text(row.changed_at),
        "complianceGracePeriodExpirationDateTime": "9999-12-31T23:59:59Z",
    }))
}

fn app_view(id: Uuid, name: &str, version: &str, size: Option<i64>, devices: i64) -> Map<String, Value> {
    object(json!({
        "id": id,
        "displayName": name,
        "version": version,
        "sizeInByte": size.unwrap_or(0),
        "deviceCount": devices,
        "publisher": null,
        "platform": "unknown",
    }))
}

impl Service {
    /// Graph's deviceConfigurationStates of a managed device.
    pub async fn configuration_states(&self, tenant: Uuid, device: Uuid) -> Result<Vec<Map<String, Value>>> {
        self.store
            .read(tenant, move |tx| {
                let row = devices::by_id(tx, tenant, device)?
                    .ok_or_else(|| Error::not_found(format!("there is no managed device with the id {device}")))?;
                let platform = if row.platform.eq_ignore_ascii_case("macOS") { "macOS" } else { "iOS" };
                let mut exceptions: BTreeMap<Uuid, Vec<SettingState>> = BTreeMap::new();
                for exception in setting_states::of_device(tx, tenant, device)? {
                    exceptions.entry(exception.document_id).or_default().push(exception);
                }
                let mut states = Vec::new();
                for item in items::of_device(tx, tenant, device)? {
                    // What is only being taken off belongs to no policy any more.
                    let Some(document) = item.document_id.filter(|_| item.content != "{}") else { continue };
                    let version = documents::by_id(tx, tenant, CONFIGURATIONS, document)?.map_or(0, |d| d.version);
                    let none = Vec::new();
                    let exceptions = exceptions.get(&document).unwrap_or(&none);
                    states.push(configuration_state(&item, version, platform, exceptions));
                }
                Ok(states)
            })
            .await
    }

    /// Graph's deviceStatuses of a device configuration.
    pub async fn configuration_device_statuses(
        &self,
        tenant: Uuid,
        document: Uuid,
    ) -> Result<Vec<Map<String, Value>>> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .read(tenant, move |tx| items::of_document(tx, tenant, CONFIGURATIONS, document, after, PAGE))
                .await?;
            after = page.last().map(|row| row.enrollment_id);
            let more = page.len() as i64 == PAGE;
            all.extend(page.iter().map(device_status));
            if !more {
                return Ok(all);
            }
        }
    }

    /// Graph's deviceStatusOverview of a device configuration.
    pub async fn configuration_status_overview(&self, tenant: Uuid, document: Uuid) -> Result<Map<String, Value>> {
        self.store
            .read(tenant, move |tx| {
                let version = documents::by_id(tx, tenant, CONFIGURATIONS, document)?.map_or(0, |d| d.version);
                let counts = items::counts(tx, tenant, CONFIGURATIONS, document)?;
                let of = |word: &str| counts.iter().find(|(state, ..)| state == word).map_or(0, |(_, n, _)| *n);
                let last = counts.iter().map(|(.., at)| *at).max();
                Ok(object(json!({
                    "id": document,
                    "pendingCount": of(state::PENDING),
                    "notApplicableCount": of(state::NOT_APPLICABLE),
                    "notApplicablePlatformCount": 0,
                    "successCount": of(state::SUCCEEDED),
                    "errorCount": of(state::ERROR),
                    "failedCount": 0,
                    "conflictCount": of(state::CONFLICT),
                    "lastUpdateDateTime": last.map(time_text),
                    "configurationVersion": version,
                })))
            })
            .await
    }

    /// Graph's detectedApps of a device.
    pub async fn apps_of_device(&self, tenant: Uuid, device: Uuid) -> Result<Vec<Map<String, Value>>> {
        self.store
            .read(tenant, move |tx| {
                devices::by_id(tx, tenant, device)?
                    .ok_or_else(|| Error::not_found(format!("there is no managed device with the id {device}")))?;
                let apps = facts::apps_of_device(tx, tenant, device)?;
                Ok(apps.iter().map(|app| app_view(app.app_id, &app.name, &app.version, app.size_bytes, 0)).collect())
            })
            .await
    }

    /// Graph's detectedApps of the tenant.
    pub async fn detected_apps(&self, tenant: Uuid) -> Result<Vec<Map<String, Value>>> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.read(tenant, move |tx| facts::apps(tx, tenant, after, PAGE)).await?;
            after = page.last().map(|app| app.app_id);
            let more = page.len() as i64 == PAGE;
            all.extend(
                page.iter().map(|app| app_view(app.app_id, &app.name, &app.version, app.size_bytes, app.devices)),
            );
            if !more {
                return Ok(all);
            }
        }
    }

    /// Ids of the devices that have a detected app.
    pub async fn devices_of_app(&self, tenant: Uuid, app: Uuid) -> Result<Vec<Uuid>> {
        let mut all: Vec<Uuid> = Vec::new();
        loop {
            let after = all.last().copied();
            let page =
                self.store.read(tenant, move |tx| facts::devices_of_app(tx, tenant, app, after, PAGE)).await?;
            let more = page.len() as i64 == PAGE;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Marks the inventory of a device as due and asks it to connect.
    pub async fn refresh_inventory(&self, tenant: Uuid, device: Uuid) -> Result<()> {
        let now = self.clock.now();
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                for channel in enrollments::of_device(tx, tenant, device)? {
                    if channel.state == enrollments::state::ENROLLED {
                        crate::inventory::refresh(tx, tenant, channel.id, now)?;
                        crate::apple::push_soon(tx, tenant, channel.id, &mut ids.clone(), now)?;
                    }
                }
                Ok(())
            })
            .await
    }
}
