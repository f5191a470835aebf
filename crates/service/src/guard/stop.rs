//! The emergency stop: one call halts everything destructive of a tenant; two people lift it.

use muster_domain::guard::stopped;
use muster_storage::{approvals, guard};
use serde_json::json;
use uuid::Uuid;

use super::{NewApproval, Note, Who, alert, names, note, party, refused, request_approval, rules_of};
use crate::{Actor, Error, Result, Service};

/// The stop as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmergencyStop {
    /// Nothing destructive is released or handed out.
    pub stopped: bool,
    /// Raised by every stop and lift.
    pub epoch: i64,
    /// The request to lift that waits for a second person.
    pub approval: Option<Uuid>,
}

impl Service {
    /// The stop as it stands.
    pub async fn emergency_stop(&self, tenant: Uuid) -> Result<EmergencyStop> {
        self.store
            .read(tenant, move |tx| {
                let epoch = guard::stop_epoch(tx, tenant)?;
                let lift = approvals::pending_of(tx, tenant, names::LIFT)?.into_iter().next();
                Ok(EmergencyStop { stopped: stopped(epoch), epoch, approval: lift.map(|approval| approval.id) })
            })
            .await
    }

    /// Stops. Stopping twice is the same as stopping once. Asks nothing of the caller but the right:
    /// it never destroys anything.
    pub async fn stop_everything(&self, actor: &Actor) -> Result<EmergencyStop> {
        let (actor, now) = (actor.clone(), self.clock.now());
        let (tenant, ids) = (actor.tenant, self.ids(now));
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let epoch = guard::stop_epoch(tx, tenant)?;
                if stopped(epoch) {
                    return Ok(EmergencyStop { stopped: true, epoch, approval: None });
                }
                if !guard::raise_stop_epoch(tx, tenant, epoch)? {
                    return Err(muster_storage::Error::Retry("the stop was moved meanwhile".into()).into());
                }
                let who = Who::actor(&actor);
                let what =
                    Note::new("Emergency stop", "Action", "organization", tenant).with("epoch", json!(epoch + 1));
                note(tx, tenant, &mut ids, &who, what, now)?;
                alert(tx, tenant, &mut ids, "guard.stopped", None, json!({ "by": actor.name }), now)?;
                Ok(EmergencyStop { stopped: true, epoch: epoch + 1, approval: None })
            })
            .await
    }

    /// Asks to lift the stop; a second person must agree.
    pub async fn ask_to_lift_stop(&self, actor: &Actor) -> Result<EmergencyStop> {
        let (actor, defaults, now) = (actor.clone(), self.settings.guard, self.clock.now());
        let (tenant, ids) = (actor.tenant, self.ids(now));
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let epoch = guard::stop_epoch(tx, tenant)?;
                if !stopped(epoch) {
                    return Err(Error::conflict("the emergency stop is not on"));
                }
                let rules = rules_of(tx, tenant, &defaults)?;
                muster_domain::guard::may_ask(&rules, &party(tx, &actor)?, now).map_err(refused)?;
                let new = NewApproval {
                    id: ids.next(),
                    action: names::LIFT,
                    subjects: Vec::new(),
                    parameters: json!({ "epoch": epoch }),
                };
                let approval = request_approval(tx, &mut ids, &actor, &rules, new, now)?;
                Ok(EmergencyStop { stopped: true, epoch, approval: Some(approval.id) })
            })
            .await
    }
}
