//! Requests that wait for a second person: made, listed, decided.

use muster_domain::{
    actions::Verb,
    guard::{self as rules, MINUTE, Party, Refusal, Settings},
    roles::{Permission, allows},
};
use muster_pki::sha256;
use muster_storage::{
    Tx, actions,
    approvals::{self, Approval, Decision},
    devices, guard,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Note, Who, decided, kind_word, names, note, party, principal, refused, rules_of};
use crate::{Actor, Error, Ids, Kind, PrincipalKind, Result, Service, settings::GuardDefaults};

/// A second factor is fresh for so long.
pub(crate) const FRESH: i64 = 5 * MINUTE;
/// Rows of one page.
const PAGE: usize = 100;

/// What a request is about.
pub(crate) struct NewApproval<'a> {
    /// Its id.
    pub(crate) id: Uuid,
    /// Action name.
    pub(crate) action: &'a str,
    /// Devices; frozen from here on.
    pub(crate) subjects: Vec<Uuid>,
    /// Parameters, an object without secrets.
    pub(crate) parameters: Value,
}

/// Hash over what is agreed to: name, devices in their order and parameters.
pub(crate) fn subject_hash(action: &str, subjects: &[Uuid], parameters: &str) -> [u8; 32] {
    sha256(json!([action, subjects, parameters]).to_string().as_bytes())
}

/// Devices as audit keeps them: by id where they are few, else their number; the approval has them all.
pub(super) fn devices_of(subjects: &[Uuid]) -> Value {
    match subjects.len() {
        0..=100 => json!(subjects),
        many => json!(format!("{many} devices")),
    }
}

/// True where the row still says what was asked: an edit after the request voids it.
pub(super) fn intact(approval: &Approval) -> bool {
    let now = subject_hash(&approval.action_name, &approval.subjects, &approval.parameters);
    approval.subject_hash == now
}

/// Makes a request, or finds the one for the same subject that already waits.
pub(crate) fn request_approval(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    actor: &Actor,
    rules: &Settings,
    new: NewApproval<'_>,
    now: i64,
) -> Result<Approval> {
    let tenant = actor.tenant;
    let parameters = new.parameters.to_string();
    let hash = subject_hash(new.action, &new.subjects, &parameters);
    if let Some(waiting) = approvals::pending_like(tx, tenant, new.action, &hash)?
        && now < waiting.expires_at
    {
        return Ok(waiting);
    }
    let alone = allows(&actor.role, actor.scopes.as_deref(), Permission::Approve)
        && guard::other_approvers(tx, tenant, actor.id, principal(actor), now)? == 0;
    let approval = Approval {
        id: new.id,
        action_name: new.action.into(),
        subject_hash: hash.to_vec(),
        subjects: new.subjects,
        parameters,
        requester_kind: kind_word(actor.kind).into(),
        requester_id: actor.id,
        requester_name: actor.name.clone(),
        requester_principal: principal(actor),
        reason: actor.reason.clone(),
        state: "pending".into(),
        decided_by_kind: None,
        decided_by_id: None,
        decided_by_name: None,
        decided_at: None,
        self_release_at: alone.then(|| now.saturating_add(rules.self_release_minutes * MINUTE)),
        effective_at: None,
        created_at: now,
        expires_at: now.saturating_add(rules.approval_minutes * MINUTE),
    };
    approvals::insert(tx, tenant, &approval)?;
    let what = Note::new("Ask for approval", "Create", "approval", approval.id)
        .with("action", json!(approval.action_name))
        .with("devices", devices_of(&approval.subjects))
        .with("reason", json!(approval.reason));
    note(tx, tenant, ids, &Who::actor(actor), what, now)?;
    if alone {
        let text = format!(
            "{} asked for {} of {} devices. Nobody else can approve it, so {} may release it alone after {} minutes. \
             Any approver or help desk can cancel request {} until then.",
            actor.name,
            approval.action_name,
            approval.subjects.len(),
            actor.name,
            rules.self_release_minutes,
            approval.id
        );
        let subject = "A request may release itself";
        super::tell::operators_of(tx, ids, tenant, subject, &text, now)?;
        super::tell::users_of(tx, ids, tenant, &approval.subjects, (subject, &text), now)?;
    }
    super::alert(
        tx,
        tenant,
        ids,
        "guard.approvalRequested",
        Some(("approval", approval.id)),
        json!({ "action": approval.action_name, "devices": approval.subjects.len() }),
        now,
    )?;
    Ok(approval)
}

/// A page of requests, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalPage {
    /// The requests.
    pub rows: Vec<Approval>,
    /// Where the next page begins.
    pub next: Option<Uuid>,
}

/// What a caller does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decide {
    /// Agrees.
    Approve,
    /// Refuses.
    Deny,
    /// Takes it back, also after it was agreed to and as far as nothing was handed to a device.
    Cancel,
}

/// Giving somebody the owner role: two people and a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerRole {
    /// The person.
    pub person: Uuid,
}

enum Outcome {
    Decided(Box<Approval>),
    Refused(Error),
}

impl Service {
    /// Requests in a state (`pending`, `approved`, ...), or all.
    pub async fn approvals(&self, tenant: Uuid, state: Option<String>, before: Option<Uuid>) -> Result<ApprovalPage> {
        self.store
            .read(tenant, move |tx| {
                let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
                let rows = approvals::list(tx, tenant, state.as_deref(), before, limit)?;
                let next = (rows.len() == PAGE).then(|| rows.last().map(|row| row.id)).flatten();
                Ok(ApprovalPage { rows, next })
            })
            .await
    }

    /// One request.
    pub async fn approval(&self, tenant: Uuid, id: Uuid) -> Result<Approval> {
        self.store
            .read(tenant, move |tx| {
                approvals::by_id(tx, tenant, id)?.ok_or_else(|| Error::not_found(format!("there is no approval {id}")))
            })
            .await
    }

    /// Agrees to, refuses or takes back a request.
    pub async fn decide_approval(&self, actor: &Actor, id: Uuid, decide: Decide) -> Result<Approval> {
        let (actor, defaults, now) = (actor.clone(), self.settings.guard, self.clock.now());
        let (tenant, ids) = (actor.tenant, self.ids(now));
        let outcome = self
            .store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                decide_in(tx, &mut ids, &actor, &defaults, id, decide, now)
            })
            .await?;
        let approval = match outcome {
            Outcome::Decided(approval) => *approval,
            Outcome::Refused(error) => return Err(error),
        };
        if decide == Decide::Approve {
            self.after_approval(tenant, &approval).await?;
        }
        Ok(approval)
    }

    /// `muster approve`: the second person at the server's own keyboard.
    pub async fn approve_at_keyboard(&self, tenant: Uuid, id: Uuid, name: &str) -> Result<Approval> {
        let now = self.clock.now();
        let actor = Actor {
            tenant,
            kind: PrincipalKind::CommandLine,
            id: Uuid::nil(),
            person: None,
            name: name.to_owned(),
            role: "owner".into(),
            scopes: None,
            maker: None,
            own_person: true,
            strong_at: Some(now),
            established_at: 0,
            address: None,
            correlation: self.random.id(now),
            reason: None,
        };
        self.decide_approval(&actor, id, Decide::Approve).await
    }

    /// Asks to make somebody an owner.
    pub async fn request_owner_role(&self, actor: &Actor, wanted: OwnerRole) -> Result<Approval> {
        let (actor, defaults, now) = (actor.clone(), self.settings.guard, self.clock.now());
        let (tenant, ids) = (actor.tenant, self.ids(now));
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let rules = rules_of(tx, tenant, &defaults)?;
                rules::may_ask(&rules, &party(tx, &actor)?, now).map_err(refused)?;
                let new = NewApproval {
                    id: ids.next(),
                    action: names::OWNER,
                    subjects: Vec::new(),
                    parameters: json!({ "personId": wanted.person }),
                };
                request_approval(tx, &mut ids, &actor, &rules, new, now)
            })
            .await
    }

    async fn after_approval(&self, tenant: Uuid, approval: &Approval) -> Result<()> {
        match approval.action_name.as_str() {
            names::RULES | names::OWNER => {
                let what = match approval.action_name.as_str() {
                    names::RULES => "weakening the guard's rules",
                    _ => "giving somebody the owner role",
                };
                self.tell_operators(
                    tenant,
                    "A change of the guard was approved",
                    &format!(
                        "{what}: asked by {}, approved by {}. It takes effect after a delay; any approver can still \
                         cancel request {} until then.\n{}",
                        approval.requester_name,
                        approval.decided_by_name.as_deref().unwrap_or("somebody"),
                        approval.id,
                        approval.parameters
                    ),
                )
                .await
            }
            names::LIFT => self.release_all(tenant).await.map(|_| ()),
            _ => {
                // The job that the approval enqueued does the same; doing it now saves a second.
                if let Err(error) = self.release_all(tenant).await {
                    tracing::warn!(%error, approval = %approval.id, "releasing waits for its job");
                }
                Ok(())
            }
        }
    }
}

fn decide_in(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    actor: &Actor,
    defaults: &GuardDefaults,
    id: Uuid,
    decide: Decide,
    now: i64,
) -> Result<Outcome> {
    let tenant = actor.tenant;
    let missing = || Error::not_found(format!("there is no approval {id}"));
    let approval = approvals::by_id(tx, tenant, id)?.ok_or_else(missing)?;
    let rules = rules_of(tx, tenant, defaults)?;
    if actor.kind == PrincipalKind::Person {
        match primary_user_since(tx, actor, &approval)? {
            None => return Err(missing()),
            // Who was made the primary user for the occasion is no second person.
            Some(since) if since.saturating_add(rules.cooling_minutes * MINUTE) > approval.created_at => {
                return Err(refused(Refusal::CoolingPeriod));
            }
            Some(_) => {}
        }
    }
    if decide == Decide::Cancel {
        return cancel(tx, ids, actor, &approval, now);
    }
    if approval.state == "pending" && now >= approval.expires_at {
        decided::expire(tx, ids, tenant, &approval, now)?;
        return Ok(Outcome::Refused(Error::refused(Kind::Conflict, "expired", "this request has expired; ask again")));
    }
    if approval.state != "pending" {
        return Err(Error::conflict(format!("this request is already {}", approval.state)));
    }
    let requester = Party {
        id: approval.requester_id,
        person: Some(approval.requester_principal),
        made_by: None,
        established_at: 0,
        strong: true,
        api_token: false,
    };
    let approver = party(tx, actor)?;
    let who = Who::actor(actor);
    if decide == Decide::Deny {
        if requester.same(&approver) {
            return Err(refused(Refusal::SelfApproval));
        }
        decided::close(tx, ids, tenant, &approval, "denied", &who, now)?;
        return settled(tx, tenant, id);
    }
    match rules::may_approve(&rules, &requester, &approver, now) {
        Ok(()) => {}
        Err(Refusal::SelfApproval) => self_release(tx, actor, &approval, now)?,
        Err(refusal) => return Err(refused(refusal)),
    }
    if !intact(&approval) {
        decided::close(tx, ids, tenant, &approval, "void", &Who::server_in(tenant), now)?;
        return Ok(Outcome::Refused(Error::refused(
            Kind::Conflict,
            "void",
            "this request was changed after it was made, and is void",
        )));
    }
    let delayed = matches!(approval.action_name.as_str(), names::RULES | names::OWNER);
    let decision = Decision {
        state: "approved",
        kind: who.kind,
        id: who.id,
        name: &who.name,
        effective_at: delayed.then(|| now.saturating_add(rules.weakening_delay_minutes * MINUTE)),
    };
    if !approvals::decide(tx, tenant, id, &decision, now)? {
        return Err(Error::conflict("this request was decided meanwhile"));
    }
    let what = Note::new("Approve request", "Action", "approval", id)
        .with("action", json!(approval.action_name))
        .with("requester", json!(approval.requester_name))
        .with("devices", devices_of(&approval.subjects));
    note(tx, tenant, ids, &who, what, now)?;
    decided::approved(tx, ids, &rules, &approval, &who, now)?;
    settled(tx, tenant, id)
}

fn settled(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Outcome> {
    let approval = approvals::by_id(tx, tenant, id)?;
    approval.map(|a| Outcome::Decided(Box::new(a))).ok_or_else(|| Error::internal("an approval vanished"))
}

/// The device's primary user may confirm a request about that one device, in the portal: since when
/// they are that, long ago where they enrolled it themselves; none for anybody else.
fn primary_user_since(tx: &mut dyn Tx, actor: &Actor, approval: &Approval) -> Result<Option<i64>> {
    let [id] = approval.subjects[..] else { return Ok(None) };
    let device = devices::by_id(tx, actor.tenant, id)?;
    if !device.is_some_and(|device| device.person_id.is_some() && device.person_id == actor.person) {
        return Ok(None);
    }
    Ok(Some(devices::person_since(tx, actor.tenant, id)?.unwrap_or(0)))
}

/// Where only one approver exists, the own request may go after an hour with a fresh second factor.
fn self_release(tx: &mut dyn Tx, actor: &Actor, approval: &Approval, now: i64) -> Result<()> {
    let tenant = actor.tenant;
    let Some(at) = approval.self_release_at else { return Err(refused(Refusal::SelfApproval)) };
    if guard::other_approvers(tx, tenant, actor.id, principal(actor), now)? > 0 {
        return Err(refused(Refusal::SelfApproval));
    }
    if now < at {
        let minutes = (at - now) / MINUTE + 1;
        return Err(Error::refused(
            Kind::Forbidden,
            Refusal::SelfApproval.code(),
            format!("nobody else can approve, so the own request may be released in {minutes} minutes"),
        ));
    }
    if super::is_api_token(actor) {
        return Err(refused(Refusal::ApiToken));
    }
    if actor.strong_at.is_none_or(|strong| now - strong > FRESH) {
        return Err(Error::refused(
            Kind::Forbidden,
            "freshSecondFactorRequired",
            "releasing the own request needs a second factor presented in the last five minutes",
        ));
    }
    Ok(())
}

/// Takes a request back: by its requester, or by anybody who may approve or stop.
fn cancel(tx: &mut dyn Tx, ids: &mut Ids, actor: &Actor, approval: &Approval, now: i64) -> Result<Outcome> {
    let tenant = actor.tenant;
    let may = |permission| allows(&actor.role, actor.scopes.as_deref(), permission);
    let own = approval.requester_principal == principal(actor);
    if !own && !may(Permission::Approve) && !may(Permission::EmergencyStop) {
        return Err(Error::forbidden(
            "a request is taken back by its requester or by somebody who may approve or stop",
        ));
    }
    let who = Who::actor(actor);
    match approval.state.as_str() {
        "pending" => decided::close(tx, ids, tenant, approval, "canceled", &who, now)?,
        "approved" => {
            if approval.effective_at.is_some() && !approvals::settle(tx, tenant, approval.id, "canceled")? {
                return Err(Error::conflict("this change has already taken effect"));
            }
            actions::cancel_unreleased(tx, tenant, approval.id, "taken back", now)?;
            for action in actions::queued_of_approval(tx, tenant, approval.id)? {
                crate::actions::cancel_undelivered(tx, ids, tenant, &action, "taken back", &who, now)?;
            }
            let what = Note::new("Cancel request", "Action", "approval", approval.id)
                .with("action", json!(approval.action_name))
                .with("devices", devices_of(&approval.subjects));
            note(tx, tenant, ids, &who, what, now)?;
        }
        state => return Err(Error::conflict(format!("this request is already {state}"))),
    }
    settled(tx, tenant, approval.id)
}

/// The verb of a request about devices.
pub(super) fn verb_of(approval: &Approval) -> Option<Verb> {
    Verb::from_name(&approval.action_name)
}
