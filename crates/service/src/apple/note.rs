//! What the channel leaves behind in the transaction of an effect: an audit row, an event.

use std::net::IpAddr;

use muster_storage::{Tx, audit, outbox};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Ids;

/// Who speaks, for audit rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) correlation: Uuid,
    pub(super) address: Option<IpAddr>,
}

/// Writes an audit row about a device, with the device as the actor.
#[expect(clippy::too_many_arguments, reason = "the parts of one audit row")]
pub(super) fn device_did(
    tx: &mut dyn Tx,
    tenant: Uuid,
    ids: &mut Ids,
    origin: &Origin,
    device: Uuid,
    activity: &str,
    modified: Vec<(String, Option<String>, Option<String>)>,
    now: i64,
) -> muster_storage::Result<()> {
    write(tx, tenant, ids, origin, Some(device), activity, true, modified, now)
}

/// Tells administrators that something is wrong, and audits it as a failure.
#[expect(clippy::too_many_arguments, reason = "the parts of one event and its audit row")]
pub(super) fn alert(
    tx: &mut dyn Tx,
    tenant: Uuid,
    ids: &mut Ids,
    origin: &Origin,
    kind: &str,
    device: Option<Uuid>,
    details: Value,
    now: i64,
) -> muster_storage::Result<()> {
    let body = json!({ "alert": kind, "details": details }).to_string();
    outbox::emit(tx, tenant, ids.next(), "alert", "device", device, &body, now)?;
    let modified = vec![("alert".to_owned(), None, Some(kind.to_owned()))];
    write(tx, tenant, ids, origin, device, &format!("alert {kind}"), false, modified, now)
}

/// Emits an event about a device.
pub(super) fn event(
    tx: &mut dyn Tx,
    tenant: Uuid,
    ids: &mut Ids,
    kind: &str,
    device: Uuid,
    body: Value,
    now: i64,
) -> muster_storage::Result<()> {
    outbox::emit(tx, tenant, ids.next(), kind, "device", Some(device), &body.to_string(), now)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one audit row")]
fn write(
    tx: &mut dyn Tx,
    tenant: Uuid,
    ids: &mut Ids,
    origin: &Origin,
    device: Option<Uuid>,
    activity: &str,
    success: bool,
    modified: Vec<(String, Option<String>, Option<String>)>,
    now: i64,
) -> muster_storage::Result<()> {
    let entry = audit::Entry {
        id: ids.next(),
        salt: *ids.next().as_bytes(),
        activity: activity.to_owned(),
        activity_type: "Enrollment managedDevice".into(),
        operation: "Action".into(),
        category: "Device".into(),
        component: "AppleDevices".into(),
        success,
        actor_kind: "device".into(),
        actor_id: device,
        actor_name: None,
        actor_address: origin.address.map(|address| address.to_string()),
        reason: None,
        correlation: Some(origin.correlation),
        resources: vec![audit::Resource {
            kind: "managedDevice".into(),
            id: device.map(|id| id.to_string()).unwrap_or_default(),
            name: None,
            modified,
        }],
        at: now,
    };
    audit::record(tx, tenant, &entry)
}
