//! What a channel reports by itself: status items become facts, the state of declarations is kept.
//!
//! Reports are incremental: only what changed comes, arrays are merged by `identifier`, and a full
//! report replaces everything. A User Enrollment is asked for nothing that names the device.

use muster_apple::declarative::StatusReport;
use muster_storage::{
    Result, Tx, device_states, devices,
    facts::{self, Fact},
    subjects,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::declarative::server_token;
use crate::desired::declared;

/// Status item -> fact of that name; values are kept as they come.
const FACTS: [(&str, &str); 10] = [
    ("device.operating-system.version", "osVersion"),
    ("device.operating-system.build-version", "buildVersion"),
    ("device.operating-system.supplemental.extra-version", "osVersionExtra"),
    ("diskmanagement.filevault.enabled", "fileVaultEnabled"),
    ("passcode.is-compliant", "passcodeCompliant"),
    ("passcode.is-present", "passcodePresent"),
    ("softwareupdate.failure-reason", "softwareUpdateFailure"),
    ("softwareupdate.install-state", "softwareUpdateState"),
    ("softwareupdate.pending-version", "softwareUpdatePending"),
    ("management.client-capabilities", "declarativeCapabilities"),
];
/// Fact that holds the state of every declaration of the device's own channel.
pub const DECLARATIONS: &str = "declarations";
const SOURCE: &str = "status";
/// Largest value that is kept.
const VALUE_BYTES: usize = 64 * 1024;
/// Declarations whose state is kept.
const DECLARATIONS_KEPT: usize = 500;

/// Takes a report.
pub(super) fn reported(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, report: &StatusReport, now: i64) -> Result<()> {
    let Some(subject) = subjects::of_enrollment(tx, tenant, enrollment)? else { return Ok(()) };
    if subject.channel != "appleDevice" {
        return Ok(());
    }
    let device = subject.device_id;
    let known = facts::of_device(tx, tenant, device)?;
    let keep = |tx: &mut dyn Tx, name: &str, value: String| -> Result<bool> {
        if value.len() > VALUE_BYTES || known.iter().any(|fact| fact.name == name && fact.value == value) {
            return Ok(false);
        }
        let fact = Fact { name: name.into(), value, source: SOURCE.into(), observed_at: now, changed_at: now };
        facts::put(tx, tenant, device, &fact)?;
        Ok(true)
    };
    for (item, name) in FACTS {
        match report.item(item) {
            Some(value) if plain(value) || item == "management.client-capabilities" || value.is_object() => {
                keep(tx, name, value.to_string())?;
            }
            _ => {}
        }
    }
    if let Some(version) = report.item("device.operating-system.version").and_then(Value::as_str) {
        version_changed(tx, tenant, device, version, now)?;
    }
    let states = report.declarations();
    if !states.is_empty() || report.full_report == Some(true) {
        let former = known.iter().find(|fact| fact.name == DECLARATIONS).map(|fact| fact.value.as_str());
        let states = merged(report, former);
        keep(tx, DECLARATIONS, states.to_string())?;
        if let Some(states) = states.as_object() {
            declared::settle(tx, tenant, &subject, states, &server_token, now)?;
        }
    }
    Ok(())
}

fn plain(value: &Value) -> bool {
    value.is_boolean() || value.is_number() || value.as_str().is_some_and(|text| text.len() <= 256)
}

/// The device runs another system now: what it can take may have changed.
fn version_changed(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, version: &str, now: i64) -> Result<()> {
    if version.len() > 64 {
        return Ok(());
    }
    let Some(mut record) = devices::by_id(tx, tenant, device)? else { return Ok(()) };
    if record.os_version.as_deref() == Some(version) {
        return Ok(());
    }
    record.os_version = Some(version.to_owned());
    record.modified_at = now;
    devices::put(tx, tenant, &record)?;
    device_states::mark_device_dirty(tx, tenant, device)
}

/// Declaration states after a report, by identifier.
fn merged(report: &StatusReport, former: Option<&str>) -> Value {
    let mut states = match former.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        Some(Value::Object(states)) if report.full_report != Some(true) => states,
        _ => serde_json::Map::new(),
    };
    for list in ["activations", "assets", "configurations", "management"] {
        let items = report.item(&format!("management.declarations.{list}")).and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            if item.get("_removed") == Some(&Value::Bool(true))
                && let Some(identifier) = item.get("identifier").and_then(Value::as_str)
            {
                states.remove(identifier);
            }
        }
    }
    for state in report.declarations() {
        if state.valid.is_empty() || (states.len() >= DECLARATIONS_KEPT && !states.contains_key(&state.identifier)) {
            continue;
        }
        let (code, description) = state.reason.unzip();
        states.insert(
            state.identifier,
            json!({
                "kind": state.kind.as_str(), "active": state.active, "valid": state.valid,
                "serverToken": state.server_token, "code": code, "description": description,
            }),
        );
    }
    Value::Object(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(full: bool, items: Value) -> StatusReport {
        let mut report = StatusReport { full_report: Some(full), ..Default::default() };
        report.set_item("management.declarations.configurations", items);
        report
    }

    #[test]
    fn declaration_states_merge_by_identifier_and_a_full_report_replaces_them() {
        let a = json!({ "identifier": "a", "active": true, "valid": "valid", "server-token": "1" });
        let b = json!({ "identifier": "b", "active": false, "valid": "invalid", "server-token": "1" });
        let first = merged(&report(false, json!([a, b])), None).to_string();
        let gone = json!([{ "identifier": "a", "_removed": true }]);
        let second = merged(&report(false, gone), Some(&first));
        assert_eq!(second.as_object().unwrap().keys().collect::<Vec<_>>(), ["b"]);
        let third = merged(&report(true, json!([a])), Some(&second.to_string()));
        assert_eq!(third.as_object().unwrap().keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(third["a"]["valid"], "valid");
    }
}
