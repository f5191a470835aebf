//! What a device says about an item: settled at a version, well or as an error.

use muster_apple::{CommandResult, Status};
use muster_domain::facts::Query;
use muster_storage::{
    self as storage, Tx, device_states, enrollments,
    items::{self, Item},
    timers,
};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::compute::{hashes, shown};

/// Waits before a settled error is tried again, ms; after the last one it stays as it is until the
/// item changes.
const RETRIES: [i64; 5] = [15 * MINUTE, 60 * MINUTE, 4 * 60 * MINUTE, 12 * 60 * MINUTE, 24 * 60 * MINUTE];
const MINUTE: i64 = 60_000;

/// Kind of the timer that tries settled errors of a channel again.
pub const RETRY: &str = "itemRetry";

/// What stands in the payload of a command of origin `item`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Order {
    /// Key of the item.
    pub item: String,
    /// Version to install, hex; none: remove.
    pub version: Option<String>,
}

impl Order {
    pub(crate) fn read(payload: &str) -> storage::Result<Self> {
        serde_json::from_str(payload)
            .map_err(|error| storage::Error::inconsistent("command.payload", error.to_string()))
    }
    pub(crate) fn version(&self) -> Option<Vec<u8>> {
        self.version.as_deref().and_then(|version| hex::decode(version).ok())
    }
}

/// Takes the answer to a command of origin `item`; called in the transaction that finishes the command.
/// An answer to a command that was withdrawn changes nothing.
pub fn item_answered(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    command: Uuid,
    payload: &str,
    result: &CommandResult,
    now: i64,
) -> storage::Result<()> {
    let order = Order::read(payload)?;
    let Some(mut item) = items::by_key(tx, tenant, enrollment, &order.item)? else { return Ok(()) };
    if item.command_id != Some(command) {
        return Ok(());
    }
    match result.status {
        Status::Idle | Status::NotNow => return Ok(()),
        Status::Acknowledged => {
            item.reported_version = order.version();
            item.error = None;
            item.attempts = 0;
            item.retry_at = None;
            settle_certificates(tx, tenant, &item, now)?;
        }
        Status::Error | Status::CommandFormatError => {
            settle_error(&mut item, &order, result, now);
            // A profile that is gone cannot be removed either: what is there tells.
            if order.version.is_none() {
                crate::inventory::ask_now(tx, tenant, enrollment, Query::ProfileList, now)?;
            }
        }
    }
    item.command_id = None;
    item.changed_at = now;
    if item.desired_version.is_none() && item.reported_version.is_none() && item.content == "{}" {
        items::remove(tx, tenant, enrollment, &item.key)?;
    } else {
        item.state = shown(&item).to_owned();
        items::put(tx, tenant, &item)?;
    }
    if let Some(at) = item.retry_at {
        let at = timers::due_at(tx, tenant, RETRY, enrollment)?.map_or(at, |set| set.min(at));
        timers::set(tx, tenant, RETRY, enrollment, at, "{}")?;
    }
    let (_, reported) = hashes(items::of_enrollment(tx, tenant, enrollment)?.iter());
    device_states::set_reported(tx, tenant, enrollment, &reported)?;
    Ok(())
}

/// A newer certificate arrived: earlier ones of the same document fall, and its renewal is planned.
fn settle_certificates(tx: &mut dyn Tx, tenant: Uuid, item: &Item, now: i64) -> storage::Result<()> {
    let Some(document) = item.document_id.filter(|_| item.reported_version.is_some()) else { return Ok(()) };
    let stored: serde_json::Value = serde_json::from_str(&item.content).unwrap_or_default();
    let content = &stored["content"];
    let brings = content["shape"] == "scep" || content["references"].as_object().is_some_and(|all| !all.is_empty());
    if !brings {
        return Ok(());
    }
    let Some(channel) = enrollments::by_id(tx, tenant, item.enrollment_id)? else { return Ok(()) };
    match super::certificates::revoke_of_document(tx, tenant, channel.device_id, document, true, now)? {
        Some(newest) => super::renewal::plan(tx, tenant, &newest, now),
        None => Ok(()),
    }
}

fn settle_error(item: &mut Item, order: &Order, result: &CommandResult, now: i64) {
    let error = match result.error_chain.last().or(result.error_chain.first()) {
        Some(cause) => json!({
            "code": cause.code,
            "domain": cause.domain,
            "message": cause.us_english_description.as_ref().or(cause.localized_description.as_ref()),
        }),
        None if result.status == Status::CommandFormatError => json!({
            "message": "the device does not understand the command",
        }),
        None => json!({ "message": "the device refused and gave no reason" }),
    };
    item.error = Some(error.to_string());
    if let Some(version) = order.version() {
        item.reported_version = Some(version);
    }
    let wait = usize::try_from(item.attempts).ok().and_then(|n| RETRIES.get(n));
    item.retry_at = wait.map(|wait| now + wait);
    item.attempts += 1;
}

/// A channel enrolled anew or left: nothing is known of it any more.
pub fn start_over(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> storage::Result<()> {
    items::clear(tx, tenant, enrollment)?;
    device_states::mark_dirty(tx, tenant, enrollment)
}
