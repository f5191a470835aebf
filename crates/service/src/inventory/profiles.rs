//! Verification: the profiles a device lists against those we put there. What vanished is put back,
//! what was replaced is sent again, what nobody wants any more is taken off.

use std::collections::BTreeMap;

use muster_apple::{
    CommandResult,
    plist::{Read, Value as Plist},
};
use muster_domain::reconcile::UNKNOWN;
use muster_storage::{
    self as storage, Tx, device_states,
    items::{self, Item, state},
};
use uuid::Uuid;

use crate::desired::{compute::shown, document_of, profile_identifier, render::uuid_of};

/// Compares a ProfileList with the items of the channel.
pub(super) fn compare(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    result: &CommandResult,
    now: i64,
) -> storage::Result<()> {
    let Ok(Some(list)) = result.body.array("ProfileList") else { return Ok(()) };
    let installed: BTreeMap<String, String> = list
        .iter()
        .filter_map(Plist::as_dictionary)
        .filter_map(|item| {
            let text = |key: &str| item.text(key).ok().flatten();
            Some((text("PayloadIdentifier")?, text("PayloadUUID").unwrap_or_default()))
        })
        .collect();
    let mut drifted = false;
    let mut ours = Vec::new();
    for mut item in items::of_enrollment(tx, tenant, enrollment)? {
        let Some(document) = item.document_id.or_else(|| item.key.strip_prefix("profile:")?.parse().ok()) else {
            continue;
        };
        ours.push(document);
        // What is on its way tells more than a list that may be older.
        if item.command_id.is_some() {
            continue;
        }
        let there = installed.get(&profile_identifier(document));
        let before = item.clone();
        match (&item.reported_version, there) {
            // What the device refused is not there, as it said; its timer tries it again.
            (Some(_), None) if item.error.is_some() && item.desired_version.is_some() => {}
            (Some(_), None) => {
                item.reported_version = None;
                item.error = None;
            }
            (None, Some(_)) => item.reported_version = Some(UNKNOWN.to_vec()),
            // A settled error says nothing of what stands there instead.
            (Some(version), Some(uuid))
                if item.error.is_none() && !uuid.eq_ignore_ascii_case(&uuid_of(version, "")) =>
            {
                item.reported_version = Some(UNKNOWN.to_vec());
            }
            _ => {}
        }
        if item == before {
            continue;
        }
        drifted = true;
        if item.desired_version.is_none() && item.reported_version.is_none() && item.content == "{}" {
            items::remove(tx, tenant, enrollment, &item.key)?;
            continue;
        }
        if item.desired_version.is_none() {
            item.retry_at = Some(now);
        }
        item.state = shown(&item).to_owned();
        item.changed_at = now;
        items::put(tx, tenant, &item)?;
    }
    for document in installed.keys().filter_map(|identifier| document_of(identifier)) {
        if !ours.contains(&document) {
            items::put(tx, tenant, &stray(enrollment, document, now))?;
            drifted = true;
        }
    }
    if drifted {
        device_states::mark_dirty(tx, tenant, enrollment)?;
    }
    Ok(())
}

/// A profile of ours that nobody remembers: to be taken off.
fn stray(enrollment: Uuid, document: Uuid, now: i64) -> Item {
    Item {
        enrollment_id: enrollment,
        key: format!("profile:{document}"),
        kind: "profile".to_owned(),
        document_kind: None,
        document_id: None,
        desired_version: None,
        reported_version: Some(UNKNOWN.to_vec()),
        content: "{}".to_owned(),
        state: state::PENDING.to_owned(),
        error: None,
        command_id: None,
        attempts: 0,
        retry_at: Some(now),
        changed_at: now,
    }
}
