//! What follows a decision: held actions go on, the stop is lifted, rules and roles change.

use muster_domain::guard::{Settings, release_after, stopped};
use muster_storage::{
    Tx, actions,
    approvals::{self, Approval, Decision},
    guard, operators, people, sessions,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Note, Who, alert, approvals::verb_of, names, note, release_soon, rules};
use crate::{Error, Ids, Result};

/// A request was agreed to.
pub(super) fn approved(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    settings: &Settings,
    approval: &Approval,
    who: &Who,
    now: i64,
) -> Result<()> {
    let tenant = who.tenant;
    if verb_of(approval).is_some() {
        let devices = i64::try_from(approval.subjects.len()).unwrap_or(i64::MAX);
        let after = release_after(settings, devices, now);
        actions::approve_held(tx, tenant, approval.id, after, now)?;
        return release_soon(tx, ids, tenant, after, now);
    }
    match approval.action_name.as_str() {
        names::LIFT => {
            let epoch = guard::stop_epoch(tx, tenant)?;
            let asked = parameters(approval)?.get("epoch").and_then(Value::as_i64);
            if !stopped(epoch) || asked != Some(epoch) {
                return Err(Error::conflict("the emergency stop was moved since this was asked; ask again"));
            }
            if !guard::raise_stop_epoch(tx, tenant, epoch)? {
                return Err(muster_storage::Error::Retry("the stop was moved meanwhile".into()).into());
            }
            let what = Note::new("Lift emergency stop", "Action", "organization", tenant)
                .with("epoch", json!(epoch + 1))
                .with("approval", json!(approval.id));
            note(tx, tenant, ids, who, what, now)?;
            alert(tx, tenant, ids, "guard.lifted", Some(("approval", approval.id)), json!({}), now)?;
            release_soon(tx, ids, tenant, now, now)
        }
        // Rules and roles wait for their delay; the sweep applies them.
        _ => Ok(()),
    }
}

/// A delayed change takes effect.
pub(super) fn take_effect(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, approval: &Approval, now: i64) -> Result<()> {
    if !approvals::settle(tx, tenant, approval.id, "effective")? {
        return Ok(());
    }
    let who = Who::server_in(tenant);
    if !super::approvals::intact(approval) {
        approvals::settle(tx, tenant, approval.id, "void")?;
        return Ok(());
    }
    match approval.action_name.as_str() {
        names::RULES => {
            let changes = parameters(approval)?;
            rules::write(tx, tenant, &changes)?;
            let what = Note::new("Change guard settings", "Patch", "guardSettings", tenant)
                .with("changes", Value::Object(changes))
                .with("approval", json!(approval.id));
            note(tx, tenant, ids, &who, what, now)
        }
        names::OWNER => {
            let person = parameters(approval)?
                .get("personId")
                .and_then(Value::as_str)
                .and_then(|id| id.parse::<Uuid>().ok())
                .ok_or_else(|| Error::internal("an owner request without a person"))?;
            if people::by_id(tx, tenant, person)?.is_none() {
                approvals::settle(tx, tenant, approval.id, "void")?;
                return Ok(());
            }
            sessions::remove_of_person(tx, tenant, person, None)?;
            let operator = operators::Operator {
                person_id: person,
                role: "owner".into(),
                made_by: Some(approval.requester_principal),
                established_at: now,
            };
            operators::put(tx, tenant, &operator)?;
            let what = Note::new("Give owner role", "Action", "operator", person).with("approval", json!(approval.id));
            note(tx, tenant, ids, &who, what, now)
        }
        _ => Ok(()),
    }
}

fn parameters(approval: &Approval) -> Result<Map<String, Value>> {
    serde_json::from_str(&approval.parameters).map_err(Error::internal)
}

/// A request ends without effect: denied, canceled, expired or void; its actions show `canceled`.
pub(super) fn close(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    approval: &Approval,
    state: &str,
    who: &Who,
    now: i64,
) -> Result<()> {
    let decision = Decision { state, kind: who.kind, id: who.id, name: &who.name, effective_at: None };
    if !approvals::decide(tx, tenant, approval.id, &decision, now)? {
        return Err(Error::conflict("this request was decided meanwhile"));
    }
    actions::advance_held(tx, tenant, approval.id, "canceled", Some(&format!("the request was {state}")), now)?;
    let what = Note::new("Close request", "Action", "approval", approval.id)
        .with("state", json!(state))
        .with("action", json!(approval.action_name))
        .with("requester", json!(approval.requester_name))
        .with("devices", super::approvals::devices_of(&approval.subjects));
    note(tx, tenant, ids, who, what, now)
}

/// Nobody decided in time.
pub(super) fn expire(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, approval: &Approval, now: i64) -> Result<()> {
    close(tx, ids, tenant, approval, "expired", &Who::server_in(tenant), now)?;
    alert(
        tx,
        tenant,
        ids,
        "guard.approvalExpired",
        Some(("approval", approval.id)),
        json!({ "action": approval.action_name }),
        now,
    )
}
