//! Licences: one product, as many seats as the tenant says (without limit by default). A person
//! without the licence cannot enroll; devices they have stay.

use muster_storage::{Tx, audit, people, tenants};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    mark,
    users::{SKU_ID, SKU_PART_NUMBER, find_person, unknown_user, user_view},
};
use crate::{Actor, Error, Kind, Result, Service, audit::Act, operators::only};

/// The tenant's licensing settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Licensing {
    /// Seats, none for no limit.
    pub seats: Option<i64>,
    /// New people get the licence while there are seats.
    pub assign_to_new_users: bool,
}

fn licensing(tx: &mut dyn Tx, tenant: Uuid) -> Result<Licensing> {
    let settings = super::settings::read(tx, tenant)?;
    let section = settings.get("licensing");
    Ok(Licensing {
        seats: section.and_then(|s| s.get("seats")).and_then(Value::as_i64),
        assign_to_new_users: section.and_then(|s| s.get("assignToNewUsers")).and_then(Value::as_bool).unwrap_or(true),
    })
}

/// True where a new person gets the licence.
pub(crate) fn seat_for_new(tx: &mut dyn Tx, tenant: Uuid) -> Result<bool> {
    let rules = licensing(tx, tenant)?;
    Ok(rules.assign_to_new_users && seat_left(tx, tenant, rules)?)
}

fn seat_left(tx: &mut dyn Tx, tenant: Uuid, rules: Licensing) -> Result<bool> {
    match rules.seats {
        None => Ok(true),
        Some(seats) => Ok(people::count_licensed(tx, tenant)? < seats),
    }
}

fn sku_ids(body: &Map<String, Value>, name: &str, of: fn(&Value) -> Option<&Value>) -> Result<bool> {
    let list = match body.get(name) {
        None | Some(Value::Null) => return Ok(false),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Error::bad_request(format!("{name} must be a list"))),
    };
    for item in list {
        let id = of(item).and_then(Value::as_str).and_then(|text| text.parse::<Uuid>().ok());
        if id != Some(SKU_ID) {
            return Err(Error::bad_request(format!(
                "{name} names a licence that does not exist; /subscribedSkus lists them"
            )));
        }
    }
    Ok(!list.is_empty())
}

impl Service {
    /// Graph's assignLicense: `addLicenses` and `removeLicenses`; answers the user.
    pub async fn assign_license(
        &self,
        actor: &Actor,
        id_or_name: &str,
        body: Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        let add = sku_ids(&body, "addLicenses", |item| item.get("skuId"))?;
        let remove = sku_ids(&body, "removeLicenses", |item| Some(item))?;
        if add && remove {
            return Err(Error::bad_request("the same licence cannot be added and removed at once"));
        }
        let (tenant, now, key) = (actor.tenant, self.clock.now(), id_or_name.to_owned());
        let before = self.person(tenant, id_or_name).await?;
        let named = (before.id, before.user_principal_name.as_str());
        let entry = self.user_entry(actor, ("Action", "Change a user's licences"), named, now);
        let ids = self.ids(now);
        let person = self
            .store
            .write(tenant, move |tx| {
                let mut person = find_person(tx, tenant, &key)?.ok_or_else(|| unknown_user(&key))?;
                let wanted = if add { true } else { person.licensed && !remove };
                if wanted == person.licensed {
                    return Ok::<_, Error>(person);
                }
                let rules = licensing(tx, tenant)?;
                if wanted && !seat_left(tx, tenant, rules)? {
                    return Err(Error::refused(
                        Kind::BadRequest,
                        "Request_BadRequest",
                        "every seat is taken; raise the number of seats or take a licence from somebody",
                    ));
                }
                person.licensed = wanted;
                person.modified_at = now;
                if !people::update(tx, tenant, &person)? {
                    return Err(Error::conflict("the user changed meanwhile; read it again"));
                }
                person.version += 1;
                mark::person(tx, tenant, person.id, &mut ids.clone(), now)?;
                audit::record(tx, tenant, &entry)?;
                Ok(person)
            })
            .await?;
        Ok(user_view(&person))
    }

    /// The one row of Graph's /subscribedSkus.
    pub async fn subscribed_sku(&self, tenant: Uuid) -> Result<Map<String, Value>> {
        let (rules, consumed, name) = self
            .store
            .read(tenant, move |tx| {
                let name = tenants::by_id(tx, tenant)?.map(|tenant| tenant.name).unwrap_or_default();
                Ok::<_, Error>((licensing(tx, tenant)?, people::count_licensed(tx, tenant)?, name))
            })
            .await?;
        // Graph counts seats in an Int32; no limit is its greatest value.
        let enabled = rules.seats.unwrap_or(i64::from(i32::MAX));
        let row = json!({
            "id": format!("{tenant}_{SKU_ID}"),
            "accountId": tenant,
            "accountName": name,
            "appliesTo": "User",
            "capabilityStatus": "Enabled",
            "consumedUnits": consumed,
            "prepaidUnits": {"enabled": enabled, "lockedOut": 0, "suspended": 0, "warning": 0},
            "servicePlans": [],
            "skuId": SKU_ID,
            "skuPartNumber": SKU_PART_NUMBER,
            "subscriptionIds": [],
        });
        let Value::Object(row) = row else { return Err(Error::internal("a literal object")) };
        Ok(row)
    }

    /// Changes the licensing settings: `seats` (null for no limit) and `assignToNewUsers`.
    pub async fn change_licensing(&self, actor: &Actor, body: Map<String, Value>) -> Result<()> {
        only(&body, &["seats", "assignToNewUsers"])?;
        match body.get("seats") {
            None | Some(Value::Null) => {}
            Some(seats) if seats.as_i64().is_some_and(|seats| (0..=i64::from(i32::MAX)).contains(&seats)) => {}
            Some(_) => return Err(Error::bad_request("seats must be a whole number from 0, or null for no limit")),
        }
        if body.get("assignToNewUsers").is_some_and(|flag| !flag.is_boolean()) {
            return Err(Error::bad_request("assignToNewUsers must be true or false"));
        }
        let (tenant, now) = (actor.tenant, self.clock.now());
        let act =
            Act { operation: "Patch", activity: "Change licensing", category: "Organization", component: "licensing" };
        let entry = self.audit_entry(actor, act, now);
        self.store
            .write(tenant, move |tx| {
                super::settings::change(tx, tenant, |settings| {
                    let section = settings.entry("licensing").or_insert_with(|| json!({}));
                    for (name, value) in &body {
                        section[name] = value.clone();
                    }
                    Ok(())
                })?;
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// The licensing settings and how many seats are taken.
    pub async fn licensing(&self, tenant: Uuid) -> Result<(Licensing, i64)> {
        self.store.read(tenant, move |tx| Ok((licensing(tx, tenant)?, people::count_licensed(tx, tenant)?))).await
    }
}
