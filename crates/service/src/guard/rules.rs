//! The tenant's rules: read, tightened at once, weakened only by two people and after a day.

use muster_domain::guard::Settings;
use muster_storage::{Tx, guard};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{NewApproval, Note, Who, names, note, party, refused, request_approval};
use crate::{Actor, Error, Result, Service, settings::GuardDefaults};

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesChange {
    /// The rules in force now.
    pub rules: Settings,
    /// The request that a weakening waits for.
    pub approval: Option<Uuid>,
    /// The fields that would be weaker.
    pub weakened: Vec<&'static str>,
}

/// Minutes of a time in milliseconds, rounded up.
fn minutes(milliseconds: i64) -> i64 {
    milliseconds.saturating_add(59_999) / 60_000
}

/// The rules where a tenant has said nothing: the process's configuration over our defaults.
fn base(defaults: &GuardDefaults) -> Settings {
    Settings {
        cooling_minutes: minutes(defaults.cooling),
        bulk_hold_minutes: minutes(defaults.hold),
        undelivered_minutes: minutes(defaults.expiry),
        wipes_per_hour_per_principal: defaults.wipes_per_hour.into(),
        wipes_per_hour: defaults.tenant_wipes_per_hour.into(),
        wipes_per_day_percent: defaults.fleet_percent.into(),
        ..Settings::default()
    }
}

fn overlay(base: &Settings, changes: &Map<String, Value>) -> Result<Settings> {
    let mut value = serde_json::to_value(base).map_err(Error::internal)?;
    let fields = value.as_object_mut().ok_or_else(|| Error::internal("rules are an object"))?;
    for (name, change) in changes {
        if !fields.contains_key(name) {
            return Err(Error::bad_request(format!("guardSettings has no property {name}")));
        }
        fields.insert(name.clone(), change.clone());
    }
    let rules: Settings =
        serde_json::from_value(value).map_err(|error| Error::bad_request(format!("guardSettings: {error}")))?;
    rules.validate().map_err(Error::bad_request)?;
    Ok(rules)
}

/// The rules in force for a tenant.
pub fn rules_of(tx: &mut dyn Tx, tenant: Uuid, defaults: &GuardDefaults) -> Result<Settings> {
    let (settings, _) = guard::organization_settings(tx, tenant)?;
    let settings: Map<String, Value> = serde_json::from_str(&settings).map_err(Error::internal)?;
    match settings.get("guard").and_then(Value::as_object) {
        Some(changes) => overlay(&base(defaults), changes),
        None => Ok(base(defaults)),
    }
}

/// Writes changed fields over the tenant's own.
pub(super) fn write(tx: &mut dyn Tx, tenant: Uuid, changes: &Map<String, Value>) -> Result<()> {
    let (settings, version) = guard::organization_settings(tx, tenant)?;
    let mut settings: Map<String, Value> = serde_json::from_str(&settings).map_err(Error::internal)?;
    let own = settings.entry("guard").or_insert_with(|| Value::Object(Map::new()));
    let own = own.as_object_mut().ok_or_else(|| Error::internal("organization.settings.guard is an object"))?;
    for (name, change) in changes {
        own.insert(name.clone(), change.clone());
    }
    let settings = Value::Object(settings).to_string();
    match guard::put_organization_settings(tx, tenant, &settings, version)? {
        true => Ok(()),
        false => Err(muster_storage::Error::Retry("the organization's settings changed meanwhile".into()).into()),
    }
}

impl Service {
    /// The rules in force.
    pub async fn guard_settings(&self, tenant: Uuid) -> Result<Settings> {
        let defaults = self.settings.guard;
        self.store.read(tenant, move |tx| rules_of(tx, tenant, &defaults)).await
    }

    /// Changes rules: what tightens holds at once, and where a field would guard less the whole change
    /// waits for a second person and then for a day.
    pub async fn change_guard_settings(&self, actor: &Actor, changes: Map<String, Value>) -> Result<RulesChange> {
        let (actor, defaults, now) = (actor.clone(), self.settings.guard, self.clock.now());
        let (tenant, ids) = (actor.tenant, self.ids(now));
        let change = self
            .store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let rules = rules_of(tx, tenant, &defaults)?;
                let wanted = overlay(&rules, &changes)?;
                let weakened = rules.weakened(&wanted);
                let asker = party(tx, &actor)?;
                muster_domain::guard::may_ask(&rules, &asker, now).map_err(refused)?;
                if weakened.is_empty() {
                    write(tx, tenant, &changes)?;
                    note(
                        tx,
                        tenant,
                        &mut ids,
                        &Who::actor(&actor),
                        Note::new("Change guard settings", "Patch", "guardSettings", tenant)
                            .with("changes", Value::Object(changes.clone())),
                        now,
                    )?;
                    return Ok(RulesChange { rules: wanted, approval: None, weakened });
                }
                let new = NewApproval {
                    id: ids.next(),
                    action: names::RULES,
                    subjects: Vec::new(),
                    parameters: Value::Object(changes.clone()),
                };
                let approval = request_approval(tx, &mut ids, &actor, &rules, new, now)?;
                Ok::<_, Error>(RulesChange { rules, approval: Some(approval.id), weakened })
            })
            .await?;
        if let Some(approval) = change.approval {
            self.tell_operators(
                tenant,
                "Somebody asked to weaken the guard",
                &format!(
                    "A change of the guard's rules was asked for and waits for a second person: {}.\n\
                     Request {approval}. Deny it if nobody told you about it.",
                    change.weakened.join(", ")
                ),
            )
            .await?;
        }
        Ok(change)
    }
}
