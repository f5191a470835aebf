//! Operators through the API: nobody gives what they do not hold, and the last owner stays.

use muster_domain::roles;
use muster_storage::{Tx, audit, credentials, operators, people, sessions, tokens};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::keyboard::known_role;
use crate::{
    Actor, Error, PrincipalKind, Result, Service,
    audit::{Act, subject},
    guard::OwnerRole,
    people::{keep_an_owner, time_text},
};

/// Refuses a role that holds what the caller lacks (threats D9).
fn within_own(actor: &Actor, role: &str) -> Result<()> {
    known_role(role)?;
    if roles::within(role, None, &actor.role, actor.scopes.as_deref()) {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "{} cannot give the role {role}: it holds rights that {} lacks",
        actor.name, actor.name
    )))
}

/// Refuses to change credentials or standing of an operator who holds more than the caller: a lesser
/// role must not take over a greater one.
pub(crate) fn may_touch(tx: &mut dyn Tx, tenant: Uuid, actor: &Actor, person: Uuid) -> Result<()> {
    match operators::by_person(tx, tenant, person)? {
        Some(operator) if !roles::within(&operator.role, None, &actor.role, actor.scopes.as_deref()) => {
            Err(Error::forbidden("this person is an operator with more rights than the caller"))
        }
        _ => Ok(()),
    }
}

/// What became of giving a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleGiven {
    /// The person.
    pub person: Uuid,
    /// The approval it waits for; none: it is given.
    pub approval: Option<Uuid>,
}

fn unknown(id: Uuid) -> Error {
    Error::not_found(format!("there is no operator {id}"))
}

impl Service {
    /// Every operator.
    pub async fn list_operators(&self, tenant: Uuid) -> Result<Vec<Value>> {
        self.store
            .read(tenant, move |tx| {
                let mut rows = Vec::new();
                for operator in operators::all(tx, tenant)? {
                    if let Some(person) = people::by_id(tx, tenant, operator.person_id)? {
                        let factor = credentials::second_factor(tx, tenant, person.id)?;
                        rows.push(json!({
                            "id": person.id,
                            "userPrincipalName": person.user_principal_name,
                            "displayName": person.display_name,
                            "accountEnabled": person.account_enabled,
                            "role": operator.role,
                            "madeBy": operator.made_by,
                            "establishedDateTime": time_text(operator.established_at),
                            "hasSecondFactor": factor.is_some(),
                        }));
                    }
                }
                Ok::<_, Error>(rows)
            })
            .await
    }

    /// Gives a person a role, or another one. The cooling period begins anew. The owner role is only
    /// asked for here: it takes a second person and a day (design, ruling 3).
    pub async fn give_role(&self, actor: &Actor, user: &str, role: &str) -> Result<RoleGiven> {
        within_own(actor, role)?;
        let (tenant, now) = (actor.tenant, self.clock.now());
        let person = self.person(tenant, user).await?;
        if role == "owner" && actor.kind != PrincipalKind::CommandLine {
            let id = person.id;
            let before = self.store.read(tenant, move |tx| operators::by_person(tx, tenant, id)).await?;
            if before.is_none_or(|before| before.role != role) {
                let approval = self.request_owner_role(actor, OwnerRole { person: id }).await?;
                return Ok(RoleGiven { person: id, approval: Some(approval.id) });
            }
        }
        let act = Act { operation: "Patch", activity: "Give a role", category: "Role", component: "operator" };
        let mut entry = self.audit_entry(actor, act, now);
        let mut resource = subject("operator", person.id, Some(&person.user_principal_name));
        let (role, maker, caller) = (role.to_owned(), actor.person, actor.clone());
        resource.modified.push(("role".into(), None, Some(role.clone())));
        entry.resources.push(resource);
        let id = person.id;
        self.store
            .write(tenant, move |tx| {
                if let Some(before) = operators::by_person(tx, tenant, id)? {
                    // Whoever takes a role away must hold it as well.
                    within_own(&caller, &before.role)?;
                    if before.role == role {
                        return Ok::<_, Error>(());
                    }
                    if before.role == "owner" {
                        keep_an_owner(tx, tenant, id)?;
                    }
                }
                let operator =
                    operators::Operator { person_id: id, role: role.clone(), made_by: maker, established_at: now };
                operators::put(tx, tenant, &operator)?;
                sessions::remove_of_person(tx, tenant, id, None)?;
                Ok(audit::record(tx, tenant, &entry)?)
            })
            .await?;
        Ok(RoleGiven { person: id, approval: None })
    }

    /// Takes a person's role, their sessions and the tokens they made.
    pub async fn take_role(&self, actor: &Actor, id: Uuid) -> Result<()> {
        let (tenant, now, caller) = (actor.tenant, self.clock.now(), actor.clone());
        let act = Act { operation: "Delete", activity: "Take a role", category: "Role", component: "operator" };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(subject("operator", id, None));
        self.store
            .write(tenant, move |tx| {
                let operator = operators::by_person(tx, tenant, id)?.ok_or_else(|| unknown(id))?;
                within_own(&caller, &operator.role)?;
                keep_an_owner(tx, tenant, id)?;
                operators::remove(tx, tenant, id)?;
                tokens::revoke_of_person(tx, tenant, id, now)?;
                sessions::remove_of_person(tx, tenant, id, None)?;
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Forgets a person's second factor: they set up another one at the next sign-in.
    pub async fn reset_second_factor(&self, actor: &Actor, user: &str) -> Result<()> {
        let (tenant, now, caller) = (actor.tenant, self.clock.now(), actor.clone());
        let person = self.person(tenant, user).await?;
        let act =
            Act { operation: "Delete", activity: "Reset a second factor", category: "User", component: "secondFactor" };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(subject("user", person.id, Some(&person.user_principal_name)));
        self.store
            .write(tenant, move |tx| {
                if let Some(mut operator) = operators::by_person(tx, tenant, person.id)? {
                    // Otherwise a lesser role could take over a greater one.
                    within_own(&caller, &operator.role)?;
                    operator.established_at = now;
                    operators::put(tx, tenant, &operator)?;
                }
                if !credentials::remove_second_factor(tx, tenant, person.id)? {
                    return Err(Error::not_found("this person has no second factor"));
                }
                sessions::remove_of_person(tx, tenant, person.id, None)?;
                Ok(audit::record(tx, tenant, &entry)?)
            })
            .await
    }
}

/// The text member of a body, required.
pub(crate) fn text_of(body: &Map<String, Value>, name: &str) -> Result<String> {
    match body.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() && text.chars().count() <= 256 => {
            Ok(text.trim().to_owned())
        }
        Some(Value::String(_)) => Err(Error::bad_request(format!("{name} has 1 to 256 characters"))),
        Some(_) => Err(Error::bad_request(format!("{name} must be a string"))),
        None => Err(Error::bad_request(format!("{name} is needed"))),
    }
}

/// Refuses members nobody expects: a misspelt one must not look accepted.
pub(crate) fn only(body: &Map<String, Value>, known: &[&str]) -> Result<()> {
    let unknown: Vec<&str> = body.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::bad_request(format!("unknown: {}; known: {}", unknown.join(", "), known.join(", "))))
}
