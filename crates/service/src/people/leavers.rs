//! Leavers: taking the organisation's data off everything a person has. Disabling and deleting the
//! person stands in `users.rs`.

use muster_domain::actions::Verb;
use muster_storage::{audit, devices};
use serde_json::{Map, Value, json};

use crate::{
    Actor, Error, Result, Service,
    actions::ActionRequest,
    operators::{only, text_of},
    people::users::{find_person, unknown_user},
};

impl Service {
    /// Graph's removeAllDevicesFromManagement: asks a retire of every enrolled device. Answers the
    /// approvals that some may wait for.
    pub async fn remove_all_devices(&self, actor: &Actor, user: &str) -> Result<Vec<uuid::Uuid>> {
        let tenant = actor.tenant;
        let person = self.person(tenant, user).await?;
        let (id, now) = (person.id, self.clock.now());
        let entry = self.user_entry(
            actor,
            ("Action", "Remove all devices of a user from management"),
            (id, &person.user_principal_name),
            now,
        );
        let found = self
            .store
            .write(tenant, move |tx| {
                audit::record(tx, tenant, &entry)?;
                devices::of_person(tx, tenant, id).map_err(Error::from)
            })
            .await?;
        let mut approvals = Vec::new();
        for device in found.iter().filter(|device| device.state == "enrolled") {
            match self.request_action(actor, device.id, ActionRequest::bare(Verb::Retire)).await {
                Ok(requested) => approvals.extend(requested.approval),
                // One device that cannot be retired must not keep the others.
                Err(Error::Refused(refusal)) => {
                    tracing::warn!(device = %device.id, why = refusal.message, "a leaver's device stays");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(approvals)
    }

    /// What Graph's user has no property for: `managedAppleAccount`, null for the tenant's rule.
    pub async fn user_extras(&self, tenant: uuid::Uuid, user: &str) -> Result<Value> {
        let key = user.to_owned();
        self.store
            .read(tenant, move |tx| {
                let person = find_person(tx, tenant, &key)?.ok_or_else(|| unknown_user(&key))?;
                let effective = super::managed_apple_account(tx, tenant, &person)?;
                let factor = muster_storage::credentials::second_factor(tx, tenant, person.id)?;
                Ok::<_, Error>(json!({
                    "id": person.id,
                    "userPrincipalName": person.user_principal_name,
                    "managedAppleAccount": person.managed_apple_account,
                    "effectiveManagedAppleAccount": effective,
                    "hasSecondFactor": factor.is_some(),
                }))
            })
            .await
    }

    /// Changes them.
    pub async fn change_user_extras(&self, actor: &Actor, user: &str, body: Map<String, Value>) -> Result<()> {
        only(&body, &["managedAppleAccount"])?;
        let account = match body.get("managedAppleAccount") {
            None => return Ok(()),
            Some(Value::Null) => None,
            Some(_) => {
                let account = text_of(&body, "managedAppleAccount")?;
                if !account.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.')) {
                    return Err(Error::bad_request("managedAppleAccount must look like name@domain"));
                }
                Some(account)
            }
        };
        let (tenant, now, key) = (actor.tenant, self.clock.now(), user.to_owned());
        let before = self.person(tenant, user).await?;
        let named = (before.id, before.user_principal_name.as_str());
        let entry = self.user_entry(actor, ("Patch", "Change a user's Managed Apple Account"), named, now);
        self.store
            .write(tenant, move |tx| {
                let mut person = find_person(tx, tenant, &key)?.ok_or_else(|| unknown_user(&key))?;
                person.managed_apple_account = account.clone();
                person.modified_at = now;
                if !muster_storage::people::update(tx, tenant, &person)? {
                    return Err(Error::conflict("the user changed meanwhile; read it again"));
                }
                Ok(audit::record(tx, tenant, &entry)?)
            })
            .await
    }
}
