//! Tenants, their mail domains (server-wide) and the organization row of each.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args};

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Graph's id of the organization.
    pub id: Uuid,
    /// Name for people to read.
    pub name: String,
    /// Unix ms.
    pub created_at: i64,
}

/// A mail domain of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The domain, lower case.
    pub name: String,
    /// Unix ms.
    pub created_at: i64,
}

/// What a tenant has one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Graph's `mdmAuthority`: `unknown` until somebody set it, then `intune`.
    pub mdm_authority: String,
    /// Raised by every emergency stop and lift; odd means stopped.
    pub stop_epoch: i64,
    /// Small tenant-wide settings by key, a JSON object.
    pub settings: String,
    /// Raised by every change of the settings.
    pub version: i64,
}

impl Organization {
    /// True while an emergency stop holds.
    pub fn is_stopped(&self) -> bool {
        self.stop_epoch % 2 == 1
    }

    /// The settings, parsed.
    pub fn settings(&self) -> Result<serde_json::Map<String, Json>> {
        serde_json::from_str(&self.settings)
            .map_err(|error| Error::inconsistent("organization.settings", error.to_string()))
    }
}

fn tenant(row: &dyn Row) -> Result<Tenant> {
    Ok(Tenant { id: row.id(0)?, name: row.text(1)?, created_at: row.int(2)? })
}

/// Adds a tenant with its organization row, no MDM authority and no domains.
pub fn insert(tx: &mut dyn Tx, tenant: &Tenant) -> Result<()> {
    tx.execute(
        "insert into tenant (id, name, created_at) values ($1, $2, $3)",
        args![tenant.id, &tenant.name, tenant.created_at],
    )?;
    tx.execute(
        "insert into organization (tenant_id, mdm_authority, settings) values ($1, 'unknown', '{}')",
        args![tenant.id],
    )?;
    Ok(())
}

/// One tenant.
pub fn by_id(tx: &mut dyn Tx, id: Uuid) -> Result<Option<Tenant>> {
    tx.one("select id, name, created_at from tenant where id = $1", args![id], tenant)
}

/// The tenants of this name.
pub fn by_name(tx: &mut dyn Tx, name: &str) -> Result<Vec<Tenant>> {
    tx.all("select id, name, created_at from tenant where name = $1 order by id", args![name], tenant)
}

/// Every tenant, the oldest first.
pub fn all(tx: &mut dyn Tx) -> Result<Vec<Tenant>> {
    tx.all("select id, name, created_at from tenant order by id", args![], tenant)
}

/// Renames a tenant.
pub fn rename(tx: &mut dyn Tx, id: Uuid, name: &str) -> Result<bool> {
    Ok(tx.execute("update tenant set name = $2 where id = $1", args![id, name])? == 1)
}

/// The tenant that owns a mail domain, letter case aside.
pub fn by_domain(tx: &mut dyn Tx, domain: &str) -> Result<Option<Uuid>> {
    tx.one(
        "select tenant_id from tenant_domain where domain = $1",
        args![domain.trim().to_lowercase()],
        |row: &dyn Row| row.id(0),
    )
}

/// Gives a mail domain to a tenant; false when it already has an owner.
pub fn add_domain(tx: &mut dyn Tx, tenant: Uuid, domain: &str, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "insert into tenant_domain (domain, tenant_id, created_at) values ($1, $2, $3)
         on conflict (domain) do nothing",
        args![domain.trim().to_lowercase(), tenant, now],
    )?;
    Ok(changed == 1)
}

/// Takes a mail domain from a tenant.
pub fn remove_domain(tx: &mut dyn Tx, tenant: Uuid, domain: &str) -> Result<bool> {
    let changed = tx.execute(
        "delete from tenant_domain where tenant_id = $1 and domain = $2",
        args![tenant, domain.trim().to_lowercase()],
    )?;
    Ok(changed == 1)
}

/// A tenant's mail domains, the oldest first.
pub fn domains(tx: &mut dyn Tx, tenant: Uuid) -> Result<Vec<Domain>> {
    tx.all(
        "select domain, created_at from tenant_domain where tenant_id = $1 order by created_at, domain",
        args![tenant],
        |row: &dyn Row| Ok(Domain { name: row.text(0)?, created_at: row.int(1)? }),
    )
}

/// The organization row of a tenant.
pub fn organization(tx: &mut dyn Tx, tenant: Uuid) -> Result<Option<Organization>> {
    tx.one(
        "select mdm_authority, stop_epoch, settings, version from organization where tenant_id = $1",
        args![tenant],
        |row: &dyn Row| {
            Ok(Organization {
                mdm_authority: row.text(0)?,
                stop_epoch: row.int(1)?,
                settings: row.text(2)?,
                version: row.int(3)?,
            })
        },
    )
}

/// Sets the MDM authority.
pub fn set_mdm_authority(tx: &mut dyn Tx, tenant: Uuid, authority: &str) -> Result<()> {
    tx.execute(
        "update organization set mdm_authority = $2, version = version + 1 where tenant_id = $1",
        args![tenant, authority],
    )?;
    Ok(())
}

/// Replaces the settings if nobody else did since `version` was read; false otherwise.
pub fn set_settings(tx: &mut dyn Tx, tenant: Uuid, settings: &str, version: i64) -> Result<bool> {
    let changed = tx.execute(
        "update organization set settings = $2, version = version + 1 where tenant_id = $1 and version = $3",
        args![tenant, settings, version],
    )?;
    Ok(changed == 1)
}

/// Raises the stop epoch by one (odd: stopped, even: running); false if it is no longer `from`.
pub fn raise_stop_epoch(tx: &mut dyn Tx, tenant: Uuid, from: i64) -> Result<bool> {
    let changed = tx.execute(
        "update organization set stop_epoch = stop_epoch + 1, version = version + 1
          where tenant_id = $1 and stop_epoch = $2",
        args![tenant, from],
    )?;
    Ok(changed == 1)
}

/// One setting of a tenant; none where it was never set.
pub fn setting(tx: &mut dyn Tx, tenant: Uuid, key: &str) -> Result<Option<Json>> {
    match organization(tx, tenant)? {
        Some(organization) => Ok(organization.settings()?.remove(key)),
        None => Ok(None),
    }
}

/// Sets one setting of a tenant; null removes it. Of two writers at once, one runs again.
pub fn set_setting(tx: &mut dyn Tx, tenant: Uuid, key: &str, value: Json) -> Result<()> {
    let Some(organization) = organization(tx, tenant)? else {
        return Err(Error::inconsistent("organization", format!("tenant {tenant} has no row")));
    };
    let mut settings = organization.settings()?;
    if value.is_null() {
        settings.remove(key);
    } else {
        settings.insert(key.to_owned(), value);
    }
    if set_settings(tx, tenant, &Json::Object(settings).to_string(), organization.version)? {
        Ok(())
    } else {
        Err(Error::Retry("the organization was changed meanwhile".into()))
    }
}
