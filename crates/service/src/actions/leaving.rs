//! Taking the company's data back (design, ruling 1). On release access falls and the device identity
//! may only fetch and acknowledge the removal; on the answer, CheckOut or after 30 days it is revoked,
//! and what was collected about the device leaves the database.

use muster_domain::guard::DAY;
use muster_storage::{
    Tx,
    actions::{self, Action},
    certificates::{self, Fall},
    commands::{self, Which},
    device_identities,
    devices::{self, Device},
    enrollment_sessions, enrollments, groups,
    jobs::Job,
    leaving, timers,
};
use uuid::Uuid;

use super::start::{Command, send};
use crate::{
    Error, Ids, Result, Service,
    guard::{Note, Who, note},
};

/// Kind of the timer that ends the wait for a leaving device.
pub const LEAVING_TIMER: &str = "leaving";
/// How long a device may take to acknowledge its removal.
const PATIENCE: i64 = 30 * DAY;

/// A retire is released.
pub(super) fn begin(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    action: &Action,
    device: &Device,
    now: i64,
) -> Result<()> {
    cancel_others(tx, tenant, device.id, Some(action.id), "the device is being retired", now)?;
    commands::cancel_for(tx, tenant, Which::Device(device.id), now)?;
    certificates::revoke_of_device(tx, tenant, device.id, Fall::Access, "cessationOfOperation", now)?;
    device_identities::limit(tx, tenant, device.id)?;
    leaving::fell(tx, tenant, device.id, now)?;
    if enrollments::device_channel(tx, tenant, device.id)?.is_none() {
        actions::advance(tx, tenant, action.id, &["queued"], "done", Some("the device had no channel left"), now)?;
        return finish(tx, ids, tenant, device, "left", "retireIssued", &Who::of_action(tenant, action), now);
    }
    devices::set_state(tx, tenant, device.id, "leaving", "retirePending", None, now)?;
    enrollments::set_state(tx, tenant, device.id, enrollments::state::LEAVING)?;
    timers::set(tx, tenant, LEAVING_TIMER, device.id, now + PATIENCE, "{}")?;
    send(tx, ids, tenant, action, Command::removal(), now)
}

/// A delete is released: the record goes at once; at its next contact the device is told that it is
/// unknown, which makes it drop the management profile and everything that came with it.
pub(super) fn delete(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    action: &Action,
    device: &Device,
    now: i64,
) -> Result<()> {
    actions::advance(tx, tenant, action.id, &["queued"], "done", Some("the record was removed"), now)?;
    finish(tx, ids, tenant, device, "gone", "deletePending", &Who::of_action(tenant, action), now)
}

/// The device left: by its answer to a retire or wipe (`left`, `wiped`), by CheckOut (`left`), by time,
/// or because its record was removed (`gone`). Safe to call twice.
#[expect(clippy::too_many_arguments, reason = "a transaction's tools, and what it says of the device")]
pub(super) fn finish(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    device: &Device,
    state: &str,
    management_state: &str,
    who: &Who,
    now: i64,
) -> Result<()> {
    if matches!(device.state.as_str(), "left" | "wiped" | "gone") && state != "gone" {
        return Ok(());
    }
    cancel_others(tx, tenant, device.id, None, "the device left", now)?;
    commands::cancel_for(tx, tenant, Which::Device(device.id), now)?;
    certificates::revoke_of_device(tx, tenant, device.id, Fall::All, "cessationOfOperation", now)?;
    leaving::forget(tx, tenant, device.id)?;
    leaving::fell(tx, tenant, device.id, now)?;
    devices::set_state(tx, tenant, device.id, state, management_state, Some(now), now)?;
    enrollments::set_state(tx, tenant, device.id, enrollments::state::LEFT)?;
    enrollments::forget_push(tx, tenant, device.id)?;
    enrollment_sessions::close_of_device(tx, tenant, device.id)?;
    timers::clear(tx, tenant, LEAVING_TIMER, device.id)?;
    let member = groups::Member { kind: groups::MemberKind::Device, id: device.directory_id };
    groups::remove_everywhere(tx, tenant, member)?;
    let what = Note::new("Device left", "Delete", "managedDevice", device.id)
        .named(&device.name)
        .with("state", serde_json::json!(state));
    note(tx, tenant, ids, who, what, now)
}

/// A device's own CheckOut, or the end of the patience: its waiting retire is done, other actions end.
pub fn device_left(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, why: &str, now: i64) -> Result<()> {
    let Some(device) = devices::by_id(tx, tenant, device)? else { return Ok(()) };
    for action in actions::waiting_of_device(tx, tenant, device.id)? {
        let handed_out = matches!(action.state.as_str(), "sent" | "active");
        match (action.name.as_str(), handed_out) {
            ("retire", _) | ("wipe", true) => {
                actions::advance(
                    tx,
                    tenant,
                    action.id,
                    &["approved", "queued", "sent", "active"],
                    "done",
                    Some(why),
                    now,
                )?;
            }
            _ => {}
        }
    }
    finish(tx, ids, tenant, &device, "left", "retireIssued", &Who::server_in(tenant), now)
}

/// Ends everything that waits for a device but one action.
pub(super) fn cancel_others(
    tx: &mut dyn Tx,
    tenant: Uuid,
    device: Uuid,
    except: Option<Uuid>,
    why: &str,
    now: i64,
) -> Result<()> {
    for other in actions::waiting_of_device(tx, tenant, device)? {
        if Some(other.id) != except {
            let from = ["held", "approved", "queued", "sent", "active"];
            actions::advance(tx, tenant, other.id, &from, "canceled", Some(why), now)?;
        }
    }
    Ok(())
}

impl Service {
    /// The timer of a leaving device rang.
    pub(crate) async fn leaving_job(&self, job: Job) -> Result<()> {
        let payload: serde_json::Value = serde_json::from_str(&job.payload).map_err(Error::internal)?;
        let subject = payload.get("subject").and_then(serde_json::Value::as_str);
        let device = subject.and_then(|subject| subject.parse().ok());
        self.leaving_overdue(job.tenant, device.ok_or_else(|| Error::internal("a leaving timer without a device"))?)
            .await
    }

    /// A leaving device was silent for 30 days: it counts as left.
    pub async fn leaving_overdue(&self, tenant: Uuid, device: Uuid) -> Result<()> {
        let now = self.clock.now();
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                let silent = "30 days passed without an answer from the device";
                device_left(tx, &mut ids.clone(), tenant, device, silent, now)
            })
            .await
    }
}
