//! What may not be known of a personal device is forgotten in the transaction that makes it personal.

use muster_domain::facts::{Owner, fact};
use muster_storage::{
    self as storage, Tx,
    commands::{self, Which},
    devices, enrollments, facts, subjects,
};
use uuid::Uuid;

use super::refresh;
use crate::desired::compute::channel;

/// Company to personal: apps that are not managed, facts that a personal device is not asked for and
/// the properties that show them go at once; the inventory is asked anew as for a personal device.
/// Called by the change of the owner type, in its transaction, after the device row was changed.
pub fn made_personal(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, now: i64) -> storage::Result<()> {
    facts::remove_unmanaged_apps(tx, tenant, device)?;
    let channels = enrollments::of_device(tx, tenant, device)?;
    let subject = match channels.iter().find(|channel| channel.channel == "appleDevice") {
        Some(found) => subjects::of_enrollment(tx, tenant, found.id)?,
        None => None,
    };
    let channel = subject.and_then(|subject| channel(&subject.traits()));
    let Some(mut row) = devices::by_id(tx, tenant, device)? else { return Ok(()) };
    let mut properties = row.properties()?;
    for known in facts::of_device(tx, tenant, device)? {
        let entry = fact(&known.name);
        // Certificates are listed in full on company devices only.
        let kept = match (entry, &channel) {
            (Some(entry), Some(channel)) => entry.allowed(channel, Owner::Personal),
            (Some(entry), None) => entry.personal,
            (None, _) => false,
        };
        if kept {
            continue;
        }
        facts::remove(tx, tenant, device, &known.name)?;
        if let Some(property) = entry.and_then(|entry| entry.property.as_ref()) {
            properties.shift_remove(property);
        }
    }
    properties.shift_remove("phoneNumber");
    let document = serde_json::Value::Object(properties).to_string();
    if document != row.document {
        row.document = document;
        row.modified_at = now;
        devices::put(tx, tenant, &row)?;
    }
    for channel in channels {
        // What was asked of a company device may be answered with more than a personal one is asked for:
        // the answer to what is on its way is not taken.
        for asked in facts::queries(tx, tenant, channel.id)?.into_iter().filter_map(|query| query.command_id) {
            commands::cancel_for(tx, tenant, Which::One(channel.id, asked), now)?;
        }
        refresh(tx, tenant, channel.id, now)?;
    }
    Ok(())
}
