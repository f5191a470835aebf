//! One request for many devices: one approval over a frozen list, a hold in which it can be taken back,
//! and a release spread over the limits.

use std::collections::BTreeMap;

use muster_domain::{
    actions::{self as matrix, Verb},
    guard::{self as rules, DAY, Ledger},
};
use muster_storage::{actions, devices, guard};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::request::{Ask, Place, admit, authorise, cannot, insert, kind_of, recent, stored, visible};
use crate::{
    Actor, Error, Result, Service,
    guard::{NewApproval, Who, principal, request_approval, rules_of},
};

/// Devices of one transaction.
const CHUNK: usize = 50;

/// What a caller asks of many devices.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkRequest {
    /// The verb.
    pub verb: Verb,
    /// Its JSON body, without secrets: each Mac gets a PIN of its own.
    pub parameters: Map<String, Value>,
    /// The devices; from here on frozen.
    pub devices: Vec<Uuid>,
    /// `X-Muster-Override: personalDevice`.
    pub override_personal: bool,
    /// Most devices of this entrance: 100 for `executeAction`.
    pub cap: Option<usize>,
}

/// Graph's `bulkManagedDeviceActionResult`, and what the guard makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkResult {
    /// The request.
    pub bulk: Uuid,
    /// Taken, or the same already waited.
    pub successful: Vec<Uuid>,
    /// Refused by a rule.
    pub failed: Vec<Uuid>,
    /// No such device.
    pub not_found: Vec<Uuid>,
    /// The device has no such action.
    pub not_supported: Vec<Uuid>,
    /// The approval that all of it waits for.
    pub approval: Option<Uuid>,
    /// When the last device is reached by the limits, if it is approved now; unix ms.
    pub estimated_end: Option<i64>,
}

/// How far a request for many devices is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkState {
    /// The request.
    pub bulk: Uuid,
    /// Graph's action name.
    pub action: String,
    /// The approval.
    pub approval: Option<Uuid>,
    /// How many devices stand in each stored state.
    pub states: BTreeMap<String, usize>,
    /// When the last one is released, unix ms.
    pub estimated_end: Option<i64>,
}

impl Service {
    /// Asks one action of many devices of one operating system.
    pub async fn request_bulk_action(&self, actor: &Actor, request: BulkRequest) -> Result<BulkResult> {
        let (tenant, verb, now) = (actor.tenant, request.verb, self.clock.now());
        if verb == Verb::GetFileVaultKey {
            return Err(Error::bad_request("recovery keys are revealed one by one"));
        }
        let mut wanted = request.devices.clone();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Err(Error::bad_request("deviceIds names no device"));
        }
        if let Some(cap) = request.cap.filter(|cap| wanted.len() > *cap) {
            return Err(Error::bad_request(format!(
                "executeAction takes {cap} devices at most; /muster/v1/bulkActions takes more"
            )));
        }
        let mut result = BulkResult { bulk: self.random.id(now), ..BulkResult::default() };
        let known = self.survey(actor, &request, &wanted, &mut result).await?;
        if known.is_empty() {
            return Ok(result);
        }
        let defaults = self.settings.guard;
        let (asker, count) = (actor.clone(), i64::try_from(known.len()).unwrap_or(i64::MAX));
        let (second, release_after) = self
            .store
            .read(tenant, move |tx| {
                let rules = rules_of(tx, tenant, &defaults)?;
                let ask = Ask { actor: &asker, rules: &rules, verb, parameters: String::new(), overridden: false, now };
                let recent = recent(tx, &ask)?;
                let second = rules::needs_second_person(&rules, verb, false, count, recent);
                Ok::<_, Error>((second, rules::release_after(&rules, count, now)))
            })
            .await?;
        let approval = second.then(|| self.random.id(now));
        let place = (approval, release_after);
        let taken = self.take_all(actor, &request, &known, place, &mut result).await?;
        let Some(parameters) = taken.parameters else { return Ok(result) };
        if let Some(id) = approval {
            let (asker, ids, subjects) = (actor.clone(), self.ids(now), taken.devices.clone());
            self.store
                .write(tenant, move |tx| {
                    let new = NewApproval {
                        id,
                        action: verb.name(),
                        subjects: subjects.clone(),
                        parameters: serde_json::from_str(&parameters).map_err(Error::internal)?,
                    };
                    let rules = rules_of(tx, tenant, &defaults)?;
                    request_approval(tx, &mut ids.clone(), &asker, &rules, new, now).map(|_| ())
                })
                .await?;
            result.approval = Some(id);
        }
        if verb.destructive() {
            result.estimated_end = Some(self.estimate(tenant, verb, principal(actor), taken.devices.len(), now).await?);
            if approval.is_none() {
                self.release_all(tenant).await?;
            }
        }
        Ok(result)
    }

    /// Sorts out what is not there or cannot apply; the rest must be of one operating system.
    async fn survey(
        &self,
        actor: &Actor,
        request: &BulkRequest,
        wanted: &[Uuid],
        result: &mut BulkResult,
    ) -> Result<Vec<Uuid>> {
        let (tenant, verb) = (actor.tenant, request.verb);
        let (mut known, mut systems) = (Vec::new(), std::collections::BTreeSet::new());
        for chunk in wanted.chunks(CHUNK * 10) {
            let chunk = chunk.to_vec();
            let found = self
                .store
                .read(tenant, move |tx| {
                    chunk.iter().map(|id| Ok((*id, devices::by_id(tx, tenant, *id)?))).collect::<Result<Vec<_>>>()
                })
                .await?;
            for (id, device) in found {
                let gone = |d: &devices::Device| matches!(d.state.as_str(), "left" | "wiped" | "gone");
                let Some(device) = device.filter(|device| !gone(device)) else {
                    result.not_found.push(id);
                    continue;
                };
                authorise(actor, &device, verb)?;
                let Ok(kind) = kind_of(&device) else {
                    result.not_supported.push(id);
                    continue;
                };
                if matrix::rule(verb, kind) == matrix::Rule::Never {
                    result.not_supported.push(id);
                    continue;
                }
                matrix::parameters(verb, kind, &request.parameters).map_err(cannot)?;
                systems.insert(match device.platform.as_str() {
                    "iPadOS" => "iOS".to_owned(),
                    other => other.to_owned(),
                });
                known.push(id);
            }
        }
        match systems.len() {
            0 | 1 => Ok(known),
            _ => Err(Error::bad_request(format!(
                "one request is for one operating system, and these are {}",
                systems.into_iter().collect::<Vec<_>>().join(" and ")
            ))),
        }
    }

    async fn take_all(
        &self,
        actor: &Actor,
        request: &BulkRequest,
        known: &[Uuid],
        (approval, release_after): (Option<Uuid>, i64),
        result: &mut BulkResult,
    ) -> Result<Taken> {
        let (tenant, verb, now, bulk) = (actor.tenant, request.verb, self.clock.now(), result.bulk);
        let (defaults, overridden) = (self.settings.guard, request.override_personal);
        let mut taken = Taken::default();
        for chunk in known.chunks(CHUNK) {
            let mut plans = Vec::new();
            for id in chunk {
                let device = *id;
                let found = self.store.read(tenant, move |tx| visible(tx, tenant, device)).await?;
                let kind = kind_of(&found)?;
                let parameters = matrix::parameters(verb, kind, &request.parameters).map_err(cannot)?;
                let action = self.random.id(now);
                let pin = self.pin_for(tenant, action, verb, kind, &parameters).await?;
                plans.push((device, action, stored(&parameters, pin.is_some()), pin));
            }
            let (asker, ids) = (actor.clone(), self.ids(now));
            let outcomes = self
                .store
                .write(tenant, move |tx| {
                    let mut ids = ids.clone();
                    let rules = rules_of(tx, tenant, &defaults)?;
                    let mut outcomes = Vec::new();
                    for (device, action, parameters, pin) in &plans {
                        let parameters = parameters.clone();
                        let ask = Ask { actor: &asker, rules: &rules, verb, parameters, overridden, now };
                        let record = match visible(tx, tenant, *device) {
                            Ok(record) => record,
                            Err(Error::Refused(_)) => {
                                outcomes.push((*device, Outcome::NotFound));
                                continue;
                            }
                            Err(error) => return Err(error),
                        };
                        match admit(tx, &ask, &record) {
                            Ok(Some(waiting)) => outcomes.push((*device, Outcome::Waiting(waiting.approval_id))),
                            Ok(None) => {
                                if let Some(pin) = pin {
                                    pin.put(tx, tenant, *device, now)?;
                                }
                                let place = Place { action: *action, approval, bulk: Some(bulk), release_after };
                                insert(tx, &mut ids, &ask, &record, &place)?;
                                outcomes.push((*device, Outcome::Taken(ask.parameters)));
                            }
                            Err(Error::Refused(refusal)) => outcomes.push((
                                *device,
                                match refusal.kind {
                                    crate::Kind::BadRequest => Outcome::NotSupported,
                                    _ => Outcome::Refused(refusal),
                                },
                            )),
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(outcomes)
                })
                .await?;
            for (device, outcome) in outcomes {
                match outcome {
                    Outcome::Taken(parameters) => {
                        taken.parameters = Some(parameters);
                        taken.devices.push(device);
                        result.successful.push(device);
                    }
                    Outcome::Waiting(waits_for) => {
                        result.approval = result.approval.or(waits_for);
                        result.successful.push(device);
                    }
                    Outcome::NotFound => result.not_found.push(device),
                    Outcome::NotSupported => result.not_supported.push(device),
                    // What is refused to the caller, not about the device, is refused as a whole.
                    Outcome::Refused(refusal) if is_about_caller(refusal.code) => return Err(refusal.into()),
                    Outcome::Refused(_) => result.failed.push(device),
                }
            }
        }
        Ok(taken)
    }

    /// When the last of so many releases will have happened.
    async fn estimate(&self, tenant: Uuid, verb: Verb, principal: Uuid, count: usize, now: i64) -> Result<i64> {
        let defaults = self.settings.guard;
        self.store
            .read(tenant, move |tx| {
                let rules = rules_of(tx, tenant, &defaults)?;
                let limits = rules.limits(verb, guard::fleet(tx, tenant)?);
                let ledger = Ledger::new(guard::since(tx, tenant, verb.name(), now.saturating_sub(DAY))?);
                let devices = i64::try_from(count).unwrap_or(i64::MAX);
                let from = rules::release_after(&rules, devices, now);
                Ok::<_, Error>(rules::estimated_end(&ledger, &limits, principal, count, from))
            })
            .await
    }

    /// How far a request for many devices is.
    pub async fn bulk_action(&self, tenant: Uuid, bulk: Uuid) -> Result<BulkState> {
        let now = self.clock.now();
        let rows = self.store.read(tenant, move |tx| Ok::<_, Error>(actions::of_bulk(tx, tenant, bulk)?)).await?;
        let first = rows.first().ok_or_else(|| Error::not_found(format!("there is no bulk action {bulk}")))?;
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for row in &rows {
            *states.entry(row.state.clone()).or_default() += 1;
        }
        let left = rows.iter().filter(|row| matches!(row.state.as_str(), "held" | "approved")).count();
        let verb = Verb::from_name(&first.name).filter(|verb| verb.destructive() && left > 0);
        let estimated_end = match verb {
            Some(verb) => Some(self.estimate(tenant, verb, first.principal_id, left, now).await?),
            None => None,
        };
        Ok(BulkState { bulk, action: first.name.clone(), approval: first.approval_id, states, estimated_end })
    }

    /// Takes back what no device has in hand yet; answers how many.
    pub async fn cancel_bulk_action(&self, actor: &Actor, bulk: Uuid) -> Result<usize> {
        let (actor, now) = (actor.clone(), self.clock.now());
        let (tenant, ids) = (actor.tenant, self.ids(now));
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let rows = actions::of_bulk(tx, tenant, bulk)?;
                if rows.is_empty() {
                    return Err(Error::not_found(format!("there is no bulk action {bulk}")));
                }
                let mut canceled = 0;
                for row in rows {
                    let who = Who::actor(&actor);
                    if super::cancel_undelivered(tx, &mut ids, tenant, &row, "taken back", &who, now)? {
                        canceled += 1;
                    }
                }
                Ok(canceled)
            })
            .await
    }
}

#[derive(Default)]
struct Taken {
    devices: Vec<Uuid>,
    parameters: Option<String>,
}

enum Outcome {
    Taken(String),
    Waiting(Option<Uuid>),
    NotFound,
    NotSupported,
    Refused(crate::Refusal),
}

fn is_about_caller(code: &str) -> bool {
    matches!(code, "cooling_period" | "strongAuthenticationRequired" | "apiToken" | "Forbidden")
}
