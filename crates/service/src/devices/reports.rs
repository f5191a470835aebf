//! What is known per device and per document: detected apps, states of configurations.

use std::collections::BTreeMap;

use muster_storage::{
    devices,
    documents::{self, Document},
    facts::{self, App, DetectedApp},
    items::{self, Item},
    people,
    setting_states::{self, SettingState},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    list::{listed, unknown},
    view::{device_view, users_of},
};
use crate::{Error, Result, Service};

/// Rows of a transaction.
const CHUNK: i64 = 500;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn time(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |time| time.to_string().into())
}

/// Graph's complianceStatus of an item's state. What the device has not answered yet is unknown.
fn status(state: &str) -> &'static str {
    match state {
        items::state::SUCCEEDED => "compliant",
        items::state::ERROR => "error",
        items::state::CONFLICT => "conflict",
        items::state::NOT_APPLICABLE => "notApplicable",
        _ => "unknown",
    }
}

/// Of several channels the worst counts.
fn badness(state: &str) -> u8 {
    match state {
        items::state::ERROR => 4,
        items::state::CONFLICT => 3,
        items::state::PENDING => 2,
        items::state::SUCCEEDED => 1,
        _ => 0,
    }
}

fn platform(device: &devices::Device) -> &'static str {
    match device.platform.as_str() {
        "macOS" => "macOS",
        "iOS" | "iPadOS" => "iOS",
        _ => "all",
    }
}

fn app_view(app: &App, devices: i64, platform: &str) -> Map<String, Value> {
    object(json!({
        "id": app.app_id,
        "displayName": app.name,
        "version": app.version,
        "sizeInByte": app.size_bytes.unwrap_or(0),
        "deviceCount": devices,
        "publisher": null,
        "platform": if platform == "macOS" { "macOS" } else { "ios" },
    }))
}

fn tenant_app_view(app: &DetectedApp) -> Map<String, Value> {
    object(json!({
        "id": app.app_id,
        "displayName": app.name,
        "version": app.version,
        "sizeInByte": app.size_bytes.unwrap_or(0),
        "deviceCount": app.devices,
        "publisher": null,
        "platform": "unknown",
    }))
}

impl Service {
    /// Apps seen on a device: on a personal one only managed apps.
    pub async fn apps_of_device(&self, tenant: Uuid, device: Uuid) -> Result<Vec<Map<String, Value>>> {
        self.store
            .read(tenant, move |tx| {
                let row = listed(devices::by_id(tx, tenant, device)?).ok_or_else(|| unknown(device))?;
                let apps = facts::apps_of_device(tx, tenant, device)?;
                Ok::<_, Error>(apps.iter().map(|app| app_view(app, 1, platform(&row))).collect())
            })
            .await
    }

    /// Every app of the tenant with the number of devices that have it.
    pub async fn detected_apps(&self, tenant: Uuid) -> Result<Vec<Map<String, Value>>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let chunk =
                self.store.read(tenant, move |tx| Ok::<_, Error>(facts::apps(tx, tenant, after, CHUNK)?)).await?;
            after = chunk.last().map(|app| app.app_id);
            let whole = chunk.len() as i64 == CHUNK;
            all.extend(chunk.iter().map(tenant_app_view));
            if !whole {
                return Ok(all);
            }
        }
    }

    /// Devices that have an app.
    pub async fn devices_with_app(&self, tenant: Uuid, app: Uuid) -> Result<Vec<Map<String, Value>>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (ids, views) = self
                .store
                .read(tenant, move |tx| {
                    let ids = facts::devices_of_app(tx, tenant, app, after, CHUNK)?;
                    let mut rows = Vec::with_capacity(ids.len());
                    for id in &ids {
                        rows.extend(listed(devices::by_id(tx, tenant, *id)?));
                    }
                    let users = users_of(tx, tenant, &rows)?;
                    let view = |row: &devices::Device| {
                        device_view(row, row.person_id.and_then(|id| users.get(&id)), Vec::new())
                    };
                    Ok::<_, Error>((ids, rows.iter().map(view).collect::<Vec<_>>()))
                })
                .await?;
            all.extend(views);
            after = ids.last().copied();
            if (ids.len() as i64) < CHUNK {
                return Ok(all);
            }
        }
    }

    /// Graph's deviceConfigurationStates: what became of each configuration on a device, by setting.
    pub async fn configuration_states(&self, tenant: Uuid, device: Uuid) -> Result<Vec<Map<String, Value>>> {
        self.store
            .read(tenant, move |tx| {
                let row = listed(devices::by_id(tx, tenant, device)?).ok_or_else(|| unknown(device))?;
                let user = match row.person_id {
                    Some(id) => people::any_by_id(tx, tenant, id)?,
                    None => None,
                };
                let exceptions = setting_states::of_device(tx, tenant, device)?;
                let mut by_document: BTreeMap<(String, Uuid), Vec<Item>> = BTreeMap::new();
                for item in items::of_device(tx, tenant, device)? {
                    // What is only being taken off belongs to no configuration any more.
                    if item.content == "{}" {
                        continue;
                    }
                    if let (Some(kind), Some(document)) = (item.document_kind.clone(), item.document_id) {
                        by_document.entry((kind, document)).or_default().push(item);
                    }
                }
                let mut views = Vec::new();
                for ((kind, id), items) in by_document {
                    let Some(document) = documents::by_id(tx, tenant, &kind, id)? else { continue };
                    let of: Vec<&SettingState> =
                        exceptions.iter().filter(|e| e.document_id == id && e.document_kind == kind).collect();
                    let worst = items.iter().max_by_key(|item| badness(&item.state));
                    let Some(worst) = worst else { continue };
                    let settings = settings(&document, worst, &of);
                    views.push(object(json!({
                        "@odata.type": "#microsoft.graph.deviceConfigurationState",
                        "id": format!("{id}_{device}"),
                        "displayName": document.display_name,
                        "version": document.version,
                        "platformType": platform(&row),
                        "state": status(&worst.state),
                        "settingCount": settings.len(),
                        "settingStates": settings,
                        "userId": row.person_id,
                        "userPrincipalName": user.as_ref().map(|user| &user.user_principal_name),
                    })));
                }
                Ok::<_, Error>(views)
            })
            .await
    }

    /// Graph's deviceStatuses of a configuration: one a device it reaches.
    pub async fn device_statuses(&self, tenant: Uuid, kind: &str, document: Uuid) -> Result<Vec<Map<String, Value>>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let kind = kind.to_owned();
            let chunk = self
                .store
                .read(tenant, move |tx| Ok::<_, Error>(items::of_document(tx, tenant, &kind, document, after, CHUNK)?))
                .await?;
            after = chunk.last().map(|state| state.enrollment_id);
            let whole = chunk.len() as i64 == CHUNK;
            all.extend(chunk.iter().map(|state| {
                object(json!({
                    "id": format!("{document}_{}", state.enrollment_id),
                    "deviceDisplayName": state.device_name,
                    "deviceModel": state.model,
                    "userName": state.user_principal_name,
                    "userPrincipalName": state.user_principal_name,
                    "status": status(&state.state),
                    "lastReportedDateTime": time(state.changed_at),
                    "platform": 0,
                    "complianceGracePeriodExpirationDateTime": "9999-12-31T23:59:59Z",
                }))
            }));
            if !whole {
                return Ok(all);
            }
        }
    }

    /// Graph's deviceStatusOverview of a configuration.
    pub async fn device_status_overview(
        &self,
        tenant: Uuid,
        kind: &str,
        document: Uuid,
        version: i64,
    ) -> Result<Map<String, Value>> {
        let kind = kind.to_owned();
        let counts =
            self.store.read(tenant, move |tx| Ok::<_, Error>(items::counts(tx, tenant, &kind, document)?)).await?;
        let of = |wanted: &str| -> i64 {
            counts.iter().filter(|(state, ..)| state == wanted).map(|(_, count, _)| count).sum()
        };
        let latest = counts.iter().map(|(_, _, at)| *at).max().unwrap_or(0);
        Ok(object(json!({
            "id": document,
            "pendingCount": of(items::state::PENDING),
            "notApplicableCount": of(items::state::NOT_APPLICABLE),
            "notApplicablePlatformCount": 0,
            "successCount": of(items::state::SUCCEEDED),
            "errorCount": of(items::state::ERROR),
            "failedCount": 0,
            "conflictCount": of(items::state::CONFLICT),
            "lastUpdateDateTime": time(latest),
            "configurationVersion": version,
        })))
    }
}

/// Each setting of a document: an exception as it is noted, what was sent with what the device said.
fn settings(document: &Document, item: &Item, exceptions: &[&SettingState]) -> Vec<Value> {
    let parsed =
        |text: Option<&str>| -> Value { text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null) };
    let (error, content) = (parsed(item.error.as_deref()), parsed(Some(&item.content)));
    // What was sent knows nothing of a conflict about another setting of its document.
    let settled = item.command_id.is_none() && item.reported_version == item.desired_version;
    let said = match item.state.as_str() {
        items::state::CONFLICT if settled => items::state::SUCCEEDED,
        items::state::CONFLICT => items::state::PENDING,
        other => other,
    };
    let sent = content["settings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut all: Vec<(&str, Option<&SettingState>)> = sent.map(|name| (name, None)).collect();
    all.extend(exceptions.iter().map(|exception| (exception.setting.as_str(), Some(*exception))));
    all.sort_by_key(|(name, _)| *name);
    let own = || vec![json!({ "id": document.id, "displayName": document.display_name })];
    let view = |(name, exception): (&str, Option<&SettingState>)| {
        let state = exception.map_or(said, |exception| exception.state.as_str());
        let failed = state == items::state::ERROR;
        let taking_part = exception.map(|exception| parsed(Some(&exception.sources)));
        let mut sources = taking_part.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        if sources.is_empty() {
            sources = own();
        }
        for source in &mut sources {
            source["sourceType"] = json!("deviceConfiguration");
        }
        let description = match exception {
            Some(exception) => exception.reason.clone().map_or(Value::Null, Value::String),
            None if failed => error["message"].clone(),
            None => Value::Null,
        };
        json!({
            "setting": format!("{}.{name}", document.odata_type),
            "settingName": name,
            "instanceDisplayName": null,
            "state": status(state),
            "errorCode": if failed { error["code"].as_i64().unwrap_or(0) } else { 0 },
            "errorDescription": description,
            "userId": null,
            "userName": null,
            "userEmail": null,
            "userPrincipalName": null,
            "currentValue": null,
            "sources": sources,
        })
    };
    all.into_iter().map(view).collect()
}
