//! The releaser: moves agreed actions to the devices' queues, never more than the limits, however many
//! releasers run. One conditional update on the budget's row serialises them; the ledger row, the
//! command and the audit row stand in the same transaction.

use muster_domain::{
    actions::Verb,
    guard::{DAY, Ledger, MINUTE, Waiting, releasable, stopped},
};
use muster_storage::{
    Tx,
    actions::{self, Action},
    approvals,
    devices::{self, Device},
    guard,
};
use serde_json::json;
use uuid::Uuid;

use super::{Note, Who, alert, approvals::intact, note, rules_of};
use crate::{Ids, Result, Service, settings::GuardDefaults};

/// Releases of one transaction: keeps a closure short.
const BATCH: usize = 20;
/// Principals looked at in one transaction.
const PRINCIPALS: usize = 50;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Actions that went to their devices' queues.
    pub actions: Vec<Uuid>,
    /// When to run again: something waits for a hold or for a window.
    pub again_at: Option<i64>,
}

/// One transaction of the releaser.
pub(super) struct Step {
    /// Actions that went.
    pub(super) released: Vec<Uuid>,
    /// Another releaser was faster: nothing was done, count again.
    pub(super) contended: bool,
    more: bool,
    again_at: Option<i64>,
}

/// Enqueues a run of the releaser.
pub(crate) fn release_soon(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, at: i64, now: i64) -> Result<()> {
    super::note::run_later(tx, ids, tenant, crate::guard::RELEASE_JOB, at, now)
}

impl Service {
    /// Releases everything the limits allow now, and enqueues the next run where something waits.
    pub async fn release_all(&self, tenant: Uuid) -> Result<Released> {
        // Counted once a run, outside the transactions that release: the ceiling is a share of it.
        let fleet = self.store.read(tenant, move |tx| guard::fleet(tx, tenant)).await?;
        let mut total = Released::default();
        for verb in [Verb::Wipe, Verb::Retire, Verb::Delete] {
            loop {
                let step = self.release_step(tenant, verb, fleet).await?;
                total.actions.extend(step.released);
                if step.contended || step.more {
                    continue;
                }
                total.again_at = match (total.again_at, step.again_at) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                break;
            }
        }
        if let Some(at) = total.again_at {
            let now = self.clock.now();
            let ids = self.ids(now);
            self.store.write(tenant, move |tx| release_soon(tx, &mut ids.clone(), tenant, at, now)).await?;
        }
        Ok(total)
    }

    async fn release_step(&self, tenant: Uuid, verb: Verb, fleet: i64) -> Result<Step> {
        let (defaults, now) = (self.settings.guard, self.clock.now());
        let ids = self.ids(now);
        self.store.write(tenant, move |tx| step(tx, &mut ids.clone(), tenant, (verb, fleet), &defaults, now)).await
    }
}

/// Counts, and releases what the counts allow.
pub(super) fn step(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    (verb, fleet): (Verb, i64),
    defaults: &GuardDefaults,
    now: i64,
) -> Result<Step> {
    let nothing = |again_at| Step { released: Vec::new(), contended: false, more: false, again_at };
    if stopped(guard::stop_epoch(tx, tenant)?) {
        return Ok(nothing(None));
    }
    let name = verb.name();
    // The version is read before anything is counted: if `take` still finds it, the counts are true.
    let version = guard::budget(tx, tenant, name)?;
    let rules = rules_of(tx, tenant, defaults)?;
    let limits = rules.limits(verb, fleet);
    let ledger = Ledger::new(guard::since(tx, tenant, name, now.saturating_sub(DAY))?);

    let mut heads: Vec<Action> = Vec::new();
    let batch = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let principals = actions::releasable_principals(tx, tenant, name, now)?;
    for principal in principals.iter().take(PRINCIPALS) {
        heads.extend(actions::releasable_of(tx, tenant, name, *principal, now, batch)?);
    }
    heads.sort_by_key(|action| (action.release_after, action.id));
    let waiting: Vec<Waiting> =
        heads.iter().map(|action| Waiting { action: action.id, principal: action.principal_id }).collect();
    let mut go = releasable(&ledger, &limits, &waiting, now);
    let more = go.len() > BATCH;
    go.truncate(BATCH);

    if !more {
        tell_overflow(tx, ids, tenant, name, heads.iter().filter(|action| !goes(&go, action)), now)?;
    }
    if go.is_empty() {
        let opening = waiting.iter().map(|w| ledger.next(&limits, w.principal, now)).min();
        let hold = actions::next_release_of(tx, tenant, name, now)?;
        return Ok(nothing(match (opening, hold) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }));
    }
    if !guard::take(tx, tenant, name, version)? {
        return Ok(Step { released: Vec::new(), contended: true, more: false, again_at: None });
    }
    let mut released = Vec::new();
    for action in heads.iter().filter(|action| goes(&go, action)) {
        actions::set_expiry(tx, tenant, action.id, now + rules.undelivered_minutes * MINUTE)?;
        if release(tx, ids, tenant, verb, action, now)? {
            released.push(action.id);
        }
    }
    // Whatever is left is looked at again at once: it answers when its window opens.
    Ok(Step { released, contended: false, more: true, again_at: None })
}

fn goes(go: &[Waiting], action: &Action) -> bool {
    go.iter().any(|waiting| waiting.action == action.id)
}

/// What the limits hold back is said on the action and told once.
fn tell_overflow<'a>(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    name: &str,
    held: impl Iterator<Item = &'a Action>,
    now: i64,
) -> Result<()> {
    let mut new = 0;
    for action in held {
        if actions::explain_waiting(tx, tenant, action.id, "waits for the guard's limits")? {
            new += 1;
        }
    }
    match new {
        0 => Ok(()),
        _ => alert(tx, tenant, ids, "guard.overflow", None, json!({ "action": name, "waiting": new }), now),
    }
}

/// True where the device was not personal when a wipe of it was asked for, and is now: a wipe that was
/// agreed to for the company's device is not one of a person's own.
fn became_personal(device: &Device, asked_at: i64) -> bool {
    device.owner_type != "company" && device.owner_type_changed_at.is_some_and(|changed| changed >= asked_at)
}

/// One action goes. What is no longer as it was agreed to ends here instead.
fn release(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, verb: Verb, action: &Action, now: i64) -> Result<bool> {
    let who = Who::of_action(tenant, action);
    let stop = |tx: &mut dyn Tx, ids: &mut Ids, why: &str| -> Result<bool> {
        actions::advance(tx, tenant, action.id, &["approved"], "canceled", Some(why), now)?;
        let what = Note::of_action("Cancel action", action).with("why", json!(why));
        note(tx, tenant, ids, &Who::server_in(tenant), what, now)?;
        alert(tx, tenant, ids, "guard.actionVoid", Some(("action", action.id)), json!({ "why": why }), now)?;
        Ok(false)
    };
    if let Some(approval) = action.approval_id {
        let approval = approvals::by_id(tx, tenant, approval)?;
        let agreed = approval.as_ref().is_some_and(|approval| {
            approval.state == "approved"
                && intact(approval)
                && approval.action_name == action.name
                && approval.parameters == action.parameters
                && approval.subjects.contains(&action.device_id)
        });
        if !agreed {
            return stop(tx, ids, "this is not what was approved");
        }
    }
    let Some(device) = devices::by_id(tx, tenant, action.device_id)? else {
        return stop(tx, ids, "the device is no longer here");
    };
    if verb == Verb::Wipe && became_personal(&device, action.requested_at) {
        return stop(tx, ids, "the device became personal after this was asked");
    }
    if !actions::advance(tx, tenant, action.id, &["approved"], "queued", None, now)? {
        return Ok(false);
    }
    let entry = guard::Entry {
        id: ids.next(),
        action_name: &action.name,
        principal_id: action.principal_id,
        device_id: action.device_id,
        action_id: action.id,
        released_at: now,
    };
    guard::note(tx, tenant, &entry)?;
    note(tx, tenant, ids, &who, Note::of_action("Release action", action), now)?;
    crate::actions::start(tx, ids, tenant, verb, action, &device, now)?;
    Ok(true)
}
