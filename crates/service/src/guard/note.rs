//! What the guard and actions leave behind in the transaction of their effect: an audit row, an event,
//! a job.

use muster_storage::{Tx, actions::Action, audit, jobs, outbox};
use serde_json::{Value, json};
use uuid::Uuid;

use super::kind_word;
use crate::{Actor, Ids, Result};

/// Who did it, as far as audit asks.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) tenant: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) id: Option<Uuid>,
    pub(crate) name: String,
    address: Option<String>,
    correlation: Option<Uuid>,
    reason: Option<String>,
}

impl Who {
    pub(crate) fn actor(actor: &Actor) -> Self {
        Who {
            tenant: actor.tenant,
            kind: kind_word(actor.kind),
            id: Some(actor.id),
            name: actor.name.clone(),
            address: actor.address.map(|address| address.to_string()),
            correlation: Some(actor.correlation),
            reason: actor.reason.clone(),
        }
    }

    /// Jobs and timers.
    pub(crate) fn server_in(tenant: Uuid) -> Self {
        Who { tenant, kind: "system", id: None, name: "Muster".into(), address: None, correlation: None, reason: None }
    }

    /// The one who asked for an action, long after the request.
    pub(crate) fn of_action(tenant: Uuid, action: &Action) -> Self {
        let kinds = ["person", "operator", "application", "device", "commandLine"];
        Who {
            tenant,
            kind: kinds.into_iter().find(|kind| *kind == action.actor_kind).unwrap_or("system"),
            id: Some(action.actor_id),
            name: action.actor_name.clone(),
            address: None,
            correlation: Some(action.id),
            reason: action.reason.clone(),
        }
    }
}

/// What was done to what.
pub(crate) struct Note {
    activity: String,
    operation: &'static str,
    kind: &'static str,
    id: Uuid,
    name: Option<String>,
    modified: Vec<(String, Option<String>, Option<String>)>,
}

impl Note {
    pub(crate) fn new(activity: &str, operation: &'static str, kind: &'static str, id: Uuid) -> Self {
        Note { activity: activity.into(), operation, kind, id, name: None, modified: Vec::new() }
    }

    /// About one action: carries its id, approval and reason.
    pub(crate) fn of_action(activity: &str, action: &Action) -> Self {
        let mut note = Note::new(&format!("{activity}: {}", action.name), "Action", "managedDevice", action.device_id);
        note = note.with("actionId", json!(action.id)).with("actionName", json!(action.name));
        match action.approval_id {
            Some(approval) => note.with("approvalId", json!(approval)),
            None => note,
        }
    }

    /// With a value; never a secret.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        let value = match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        self.modified.push((name.into(), None, value));
        self
    }

    /// With the subject's display name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// Writes the audit row.
pub(crate) fn note(tx: &mut dyn Tx, tenant: Uuid, ids: &mut Ids, who: &Who, note: Note, now: i64) -> Result<()> {
    let entry = audit::Entry {
        id: ids.next(),
        salt: ids.salt(),
        activity_type: format!("{} {}", note.operation, note.kind),
        activity: note.activity,
        operation: note.operation.into(),
        category: if note.kind == "managedDevice" { "Device" } else { "Role" }.into(),
        component: "DeviceManagement".into(),
        success: true,
        actor_kind: who.kind.into(),
        actor_id: who.id,
        actor_name: Some(who.name.clone()),
        actor_address: who.address.clone(),
        reason: who.reason.clone(),
        correlation: who.correlation,
        resources: vec![audit::Resource {
            kind: note.kind.into(),
            id: note.id.to_string(),
            name: note.name,
            modified: note.modified,
        }],
        at: now,
    };
    Ok(audit::record(tx, tenant, &entry)?)
}

/// Writes an event that somebody should see.
pub(crate) fn alert(
    tx: &mut dyn Tx,
    tenant: Uuid,
    ids: &mut Ids,
    kind: &str,
    subject: Option<(&str, Uuid)>,
    body: Value,
    now: i64,
) -> Result<()> {
    let (subject_kind, subject) = subject.map_or(("organization", None), |(kind, id)| (kind, Some(id)));
    Ok(outbox::emit(tx, tenant, ids.next(), kind, subject_kind, subject, &body.to_string(), now)?)
}

/// Enqueues a job of the tenant that at most once waits.
pub(super) fn run_later(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, kind: &str, at: i64, now: i64) -> Result<()> {
    let job = jobs::NewJob {
        id: ids.next(),
        tenant,
        kind,
        coalesce_key: Some("tenant"),
        payload: "{}",
        run_at: at.max(now),
        now,
    };
    Ok(jobs::enqueue(tx, &job)?)
}
