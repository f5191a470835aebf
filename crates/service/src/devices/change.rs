//! What an administrator changes on a device's record: owner type, notes, name, category, primary user.

use muster_storage::{
    audit, devices,
    devices::{Device, Patch},
    documents, outbox, people,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::list::{listed, unknown};
use crate::{
    Actor, Error, Ids, Result, Service,
    audit::{Act, subject},
};

/// Longest notes and names.
const NOTES: usize = 4000;
const NAME: usize = 256;

const CHANGE: Act =
    Act { operation: "Patch", activity: "Change a managed device", category: "Device", component: "managedDevice" };

/// A change of a device's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// Properties of a PATCH: `notes`, `managedDeviceName`, `managedDeviceOwnerType`, `ownerType`.
    Properties(Map<String, Value>),
    /// The category, or none.
    Category(Option<Uuid>),
    /// The primary user, or none.
    User(Option<Uuid>),
}

impl Service {
    /// Changes a device's record. `if_match` is the version the caller read.
    pub async fn change_device(
        &self,
        actor: &Actor,
        id: Uuid,
        change: DeviceChange,
        if_match: Option<i64>,
    ) -> Result<()> {
        let now = self.clock.now();
        let ids = self.ids(now);
        let entry = self.audit_entry(actor, CHANGE, now);
        let tenant = actor.tenant;
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let device = listed(devices::by_id(tx, tenant, id)?).ok_or_else(|| unknown(id))?;
                if if_match.is_some_and(|version| version != device.version) {
                    return Err(Error::precondition_failed("the device was changed since this ETag was read"));
                }
                let mut entry = entry.clone();
                let mut resource = subject("managedDevice", id, Some(&device.name));
                let patch = match &change {
                    DeviceChange::Properties(properties) => read(properties, &device)?,
                    DeviceChange::Category(category) => Patch {
                        category: Some(match category {
                            None => None,
                            Some(category) => {
                                let found = documents::by_id(tx, tenant, "deviceCategories", *category)?;
                                let found = found.ok_or_else(|| {
                                    Error::not_found(format!("there is no deviceCategory with the id {category}"))
                                })?;
                                Some((found.id, found.display_name))
                            }
                        }),
                        ..Patch::default()
                    },
                    DeviceChange::User(person) => Patch {
                        person: Some(match person {
                            None => None,
                            Some(person) => {
                                let found = people::by_id(tx, tenant, *person)?;
                                let found = found.ok_or_else(|| {
                                    Error::not_found(format!("there is no user with the id {person}"))
                                })?;
                                if !found.licensed {
                                    return Err(Error::bad_request(
                                        "this user has no licence; a device's primary user needs one",
                                    ));
                                }
                                Some((found.id, found.user_principal_name))
                            }
                        }),
                        ..Patch::default()
                    },
                };
                resource.modified = modified(&patch, &device);
                if resource.modified.is_empty() {
                    return Ok(());
                }
                devices::patch(tx, tenant, id, &patch, now)?;
                if let Some(owner) = &patch.owner_type {
                    owner_changed(tx, tenant, &device, owner, &mut ids, now)?;
                }
                entry.resources.push(resource);
                audit::record(tx, tenant, &entry)?;
                outbox::emit(tx, tenant, ids.next(), "deviceChanged", "device", Some(id), "{}", now)?;
                // Owner, category and user decide which policies apply.
                crate::documents::look_again(tx, tenant, id, &mut ids, now)?;
                Ok(())
            })
            .await?;
        Ok(())
    }
}

fn read(properties: &Map<String, Value>, device: &Device) -> Result<Patch> {
    let text = |name: &str, limit: usize| -> Result<Option<Option<String>>> {
        match properties.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= limit => Ok(Some(Some(text.clone()))),
            Some(Value::String(_)) => Err(Error::bad_request(format!("{name} may have at most {limit} characters"))),
            Some(_) => Ok(Some(None)),
        }
    };
    let owner_type = match properties.get("managedDeviceOwnerType").or_else(|| properties.get("ownerType")) {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_str() {
            Some("company") if user_enrollment(device) => {
                return Err(Error::bad_request(
                    "this device is under Apple's User Enrollment: it is its user's own and stays personal; \
                     to manage all of it, retire it and enroll it as a device",
                ));
            }
            Some(owner @ ("company" | "personal")) => Some(owner.to_owned()).filter(|o| *o != device.owner_type),
            _ => return Err(Error::bad_request("managedDeviceOwnerType must be company or personal")),
        },
    };
    Ok(Patch {
        notes: text("notes", NOTES)?,
        managed_device_name: text("managedDeviceName", NAME)?,
        owner_type,
        ..Patch::default()
    })
}

fn user_enrollment(device: &Device) -> bool {
    muster_domain::actions::DeviceKind::of(&device.platform, &device.enrollment_type)
        .is_some_and(|kind| kind.is_user_enrollment())
}

fn modified(patch: &Patch, device: &Device) -> Vec<(String, Option<String>, Option<String>)> {
    let mut modified = Vec::new();
    let mut note = |name: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            modified.push((name.to_owned(), old, new));
        }
    };
    if let Some(notes) = &patch.notes {
        note("notes", device.notes.clone(), notes.clone());
    }
    if let Some(name) = &patch.managed_device_name {
        note("managedDeviceName", device.managed_device_name.clone(), name.clone());
    }
    if let Some(owner) = &patch.owner_type {
        note("managedDeviceOwnerType", Some(device.owner_type.clone()), Some(owner.clone()));
    }
    if let Some(category) = &patch.category {
        note("deviceCategory", device.category_name.clone(), category.as_ref().map(|(_, name)| name.clone()));
    }
    if let Some(person) = &patch.person {
        let old = device.person_id.map(|id| id.to_string());
        note("primaryUser", old, person.as_ref().map(|(id, _)| id.to_string()));
    }
    modified
}

/// Personal: what may not be known any more goes in this transaction. Company: the user is told.
fn owner_changed(
    tx: &mut dyn muster_storage::Tx,
    tenant: Uuid,
    device: &Device,
    owner: &str,
    ids: &mut Ids,
    now: i64,
) -> Result<()> {
    if owner == "personal" {
        crate::actions::device_made_personal(tx, ids, tenant, device.id, now)?;
        crate::inventory::made_personal(tx, tenant, device.id, now)?;
        return Ok(());
    }
    // The mail goes out by a job of this transaction; more is asked of the device only at the next
    // inventory, which comes later.
    let Some(person) = device.person_id else { return Ok(()) };
    let payload = serde_json::json!({ "device": device.id, "person": person });
    crate::jobs::enqueue_now(tx, tenant, ids.next(), super::TELL_JOB, None, &payload, now)?;
    Ok(())
}
