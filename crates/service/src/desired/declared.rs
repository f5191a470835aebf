//! Items that a device takes as declarations: written where they change, settled by its status reports.
//!
//! One item a document, with every declaration of it. A declaration that is no longer listed is gone from
//! the device with the next synchronisation, so nothing is sent to take one off.

use std::collections::BTreeMap;

use muster_domain::resolve::Resolved;
use muster_storage::{
    self as storage, Tx, device_states,
    items::{self, Item},
    subjects::Subject,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    batch::Written,
    compute::{Run, content, hashes, shown, version},
    variables,
};

/// Kind of these items.
pub(crate) const KIND: &str = "declaration";

/// A declaration of an item.
pub(crate) struct Declaration {
    /// Apple's type.
    pub kind: String,
    /// Ours, the same as long as the document lives.
    pub identifier: String,
    /// Its keys, with variables filled in.
    pub payload: Map<String, Value>,
}

/// The declarations of an item, for this device.
pub(crate) fn declarations(item: &Item, subject: &Subject) -> Vec<Declaration> {
    let stored: Value = serde_json::from_str(&item.content).unwrap_or_default();
    let (Some(document), Some(declared)) = (item.document_id, stored["content"]["payloads"].as_object()) else {
        return Vec::new();
    };
    let of = |(kind, payload): (&String, &Value)| {
        let mut payload = payload.clone();
        variables::fill_all(&mut payload, subject);
        let last = kind.rsplit('.').next().unwrap_or_default();
        let payload = payload.as_object().cloned().unwrap_or_default();
        Declaration { kind: kind.clone(), identifier: format!("{document}.{last}"), payload }
    };
    declared.iter().map(of).collect()
}

impl Run<'_> {
    /// Brings the items of declarations among a channel's `items` to what is resolved. The device is told
    /// where its list became another one.
    pub(super) fn write_declarations(
        &self,
        tx: &mut dyn Tx,
        resolved: &[Resolved],
        items: &mut BTreeMap<String, Item>,
        written: &mut Written,
    ) -> storage::Result<()> {
        let mut gone: Vec<String> =
            items.values().filter(|item| item.kind == KIND).map(|item| item.key.clone()).collect();
        for one in resolved.iter().filter(|one| one.declared) {
            let key = one.key();
            gone.retain(|known| *known != key);
            let before = items.get(&key).cloned();
            let mut item = before.clone().unwrap_or_else(|| Item { kind: KIND.into(), ..self.fresh(&key) });
            item.document_kind = Some(one.kind.clone());
            item.document_id = Some(one.id);
            item.content = content(one);
            let desired = one.content.as_ref().map(version);
            if item.desired_version != desired {
                item.desired_version = desired;
                item.reported_version = None;
                item.error = None;
            }
            item.state = shown(&item).to_owned();
            if before.as_ref() != Some(&item) {
                item.changed_at = self.now;
                written.items.push(item.clone());
                items.insert(key, item);
            }
        }
        for key in gone {
            storage::items::remove(tx, self.tenant, self.enrollment, &key)?;
            items.remove(&key);
        }
        Ok(())
    }
}

/// Takes what a device says of its declarations; `token` makes the token of a declaration's content,
/// `states` is the device's word by identifier.
pub(crate) fn settle(
    tx: &mut dyn Tx,
    tenant: Uuid,
    subject: &Subject,
    states: &Map<String, Value>,
    token: &dyn Fn(&str, &Map<String, Value>) -> String,
    now: i64,
) -> storage::Result<()> {
    let enrollment = subject.enrollment_id;
    let mut changed = false;
    for mut item in items::of_enrollment(tx, tenant, enrollment)? {
        if item.kind != KIND || item.desired_version.is_none() {
            continue;
        }
        let before = item.clone();
        let (mut settled, mut error) = (true, None);
        for declaration in declarations(&item, subject) {
            let said = states.get(&declaration.identifier);
            // What it says of another version says nothing of this one.
            let said = said.filter(|said| said["serverToken"] == token(&declaration.kind, &declaration.payload));
            match said {
                Some(said) if said["valid"] == "invalid" => {
                    error = Some(json!({ "code": said["code"], "message": said["description"] }).to_string());
                }
                Some(said) if said["valid"] == "valid" && said["active"] == true => {}
                _ => settled = false,
            }
        }
        if error.is_some() || settled {
            item.reported_version.clone_from(&item.desired_version);
            item.error = error;
        }
        item.state = shown(&item).to_owned();
        if item != before {
            item.changed_at = now;
            items::put(tx, tenant, &item)?;
            changed = true;
        }
    }
    if changed {
        let (_, reported) = hashes(items::of_enrollment(tx, tenant, enrollment)?.iter());
        device_states::set_reported(tx, tenant, enrollment, &reported)?;
    }
    Ok(())
}
