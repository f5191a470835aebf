//! Settings of a tenant that people's flows read: who needs a second factor to enroll, and how a
//! Managed Apple Account follows from a person.

use muster_storage::{audit, groups};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::settings;
use crate::{
    Actor, Error, Result, Service,
    audit::Act,
    operators::{check_domain, only},
};

const KEYS: [&str; 3] = ["secondFactorGroups", "managedAppleAccount", "terms"];
/// Longest title and text of the terms of use, characters.
const TITLE: usize = 200;
const TEXT: usize = 30_000;

fn view(settings: &Map<String, Value>) -> Value {
    json!({
        "secondFactorGroups": settings.get("secondFactorGroups").cloned().unwrap_or_else(|| json!([])),
        "managedAppleAccount":
            settings.get("managedAppleAccount").cloned().unwrap_or_else(|| json!({"rule": "userPrincipalName"})),
        "terms": settings.get("terms").cloned().unwrap_or(Value::Null),
    })
}

fn group_ids(value: &Value) -> Result<Vec<Uuid>> {
    let bad = || Error::bad_request("secondFactorGroups must be a list of group ids");
    value
        .as_array()
        .ok_or_else(bad)?
        .iter()
        .map(|id| id.as_str().and_then(|id| id.parse().ok()).ok_or_else(bad))
        .collect()
}

fn check_rule(value: &Value) -> Result<()> {
    let Value::Object(rule) = value else {
        return Err(Error::bad_request("managedAppleAccount must be an object with rule"));
    };
    only(rule, &["rule", "domain"])?;
    let domain = rule.get("domain").and_then(Value::as_str);
    match (rule.get("rule").and_then(Value::as_str), domain) {
        (Some("userPrincipalName" | "mail"), None) => Ok(()),
        (Some("domain"), Some(domain)) => check_domain(domain),
        _ => Err(Error::bad_request("managedAppleAccount.rule is userPrincipalName, mail, or domain with a domain")),
    }
}

/// Terms of use: null for none. A higher version asks everybody to agree anew; a typo keeps it.
fn check_terms(value: &Value) -> Result<()> {
    let terms = match value {
        Value::Null => return Ok(()),
        Value::Object(terms) => terms,
        _ => return Err(Error::bad_request("terms must be an object with title, text and version, or null")),
    };
    only(terms, &["title", "text", "version"])?;
    for (name, longest) in [("title", TITLE), ("text", TEXT)] {
        let length = terms.get(name).and_then(Value::as_str).map_or(0, |text| text.trim().chars().count());
        if length == 0 || length > longest {
            return Err(Error::bad_request(format!("terms.{name} must have 1 to {longest} characters")));
        }
    }
    match terms.get("version").and_then(Value::as_i64) {
        Some(1..=1_000_000) => Ok(()),
        _ => Err(Error::bad_request("terms.version must be a whole number from 1 on")),
    }
}

impl Service {
    /// The settings.
    pub async fn tenant_settings(&self, tenant: Uuid) -> Result<Value> {
        Ok(view(&self.store.read(tenant, move |tx| settings::read(tx, tenant)).await?))
    }

    /// Changes them; what is left out stays.
    pub async fn change_tenant_settings(&self, actor: &Actor, body: Map<String, Value>) -> Result<Value> {
        only(&body, &KEYS)?;
        let required = body.get("secondFactorGroups").map(group_ids).transpose()?.unwrap_or_default();
        body.get("managedAppleAccount").map(check_rule).transpose()?;
        body.get("terms").map(check_terms).transpose()?;
        let (tenant, now) = (actor.tenant, self.clock.now());
        let act = Act {
            operation: "Patch",
            activity: "Change tenant settings",
            category: "Organization",
            component: "tenantSettings",
        };
        let entry = self.audit_entry(actor, act, now);
        self.store
            .write(tenant, move |tx| {
                for group in &required {
                    groups::by_id(tx, tenant, *group)?
                        .ok_or_else(|| Error::not_found(format!("there is no group {group}")))?;
                }
                settings::change(tx, tenant, |settings| {
                    let version = |from: &Map<String, Value>| from.get("terms")?.get("version")?.as_i64();
                    if version(&body).is_some_and(|new| version(settings).is_some_and(|old| new < old)) {
                        return Err(Error::bad_request("terms.version never goes down: who accepted is kept by it"));
                    }
                    settings.extend(body.clone());
                    Ok(())
                })?;
                audit::record(tx, tenant, &entry)?;
                Ok::<_, Error>(view(&settings::read(tx, tenant)?))
            })
            .await
    }
}
