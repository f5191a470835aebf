//! The guard's own rows: the ledger of releases, the budget that serialises releasers, the stop epoch
//! and the tenant's rules.

use uuid::Uuid;

use crate::{Error, Result, Tx, TxExt, args};

/// One release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its id.
    pub id: Uuid,
    /// Action name.
    pub action_name: &'a str,
    /// Whose limits it used.
    pub principal_id: Uuid,
    /// The device.
    pub device_id: Uuid,
    /// The action; at most one entry each.
    pub action_id: Uuid,
    /// Unix ms.
    pub released_at: i64,
}

/// Notes a release.
pub fn note(tx: &mut dyn Tx, tenant: Uuid, entry: &Entry<'_>) -> Result<()> {
    tx.execute(
        "insert into guard_ledger (tenant_id, id, action_name, principal_id, device_id, action_id, released_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        args![
            tenant,
            entry.id,
            entry.action_name,
            entry.principal_id,
            entry.device_id,
            entry.action_id,
            entry.released_at
        ],
    )?;
    Ok(())
}

/// Releases since a time: when, and whose.
pub fn since(tx: &mut dyn Tx, tenant: Uuid, action: &str, time: i64) -> Result<Vec<(i64, Uuid)>> {
    tx.all(
        "select released_at, principal_id from guard_ledger
          where tenant_id = $1 and action_name = $2 and released_at > $3
          order by released_at",
        args![tenant, action, time],
        |row| Ok((row.int(0)?, row.id(1)?)),
    )
}

/// The version of an action's budget; makes the row if need be.
pub fn budget(tx: &mut dyn Tx, tenant: Uuid, action: &str) -> Result<i64> {
    let read = |tx: &mut dyn Tx| {
        tx.one(
            "select version from guard_budget where tenant_id = $1 and action_name = $2",
            args![tenant, action],
            |row| row.int(0),
        )
    };
    if let Some(version) = read(tx)? {
        return Ok(version);
    }
    tx.execute(
        "insert into guard_budget (tenant_id, action_name, version) values ($1, $2, 0) on conflict do nothing",
        args![tenant, action],
    )?;
    read(tx)?.ok_or_else(|| Error::Retry("the budget's row is being made".into()))
}

/// Takes the budget: true for the one releaser that saw this version. Everything counted after the
/// version was read is then still true.
pub fn take(tx: &mut dyn Tx, tenant: Uuid, action: &str, seen: i64) -> Result<bool> {
    let changed = tx.execute(
        "update guard_budget set version = version + 1
          where tenant_id = $1 and action_name = $2 and version = $3",
        args![tenant, action, seen],
    )?;
    Ok(changed == 1)
}

/// Devices under management: what two percent are taken of.
pub fn fleet(tx: &mut dyn Tx, tenant: Uuid) -> Result<i64> {
    let count = tx.one(
        "select count(*) from device where tenant_id = $1 and state in ('enrolled', 'leaving')",
        args![tenant],
        |row| row.int(0),
    )?;
    Ok(count.unwrap_or(0))
}

/// The tenant's stop epoch; odd means stopped.
pub fn stop_epoch(tx: &mut dyn Tx, tenant: Uuid) -> Result<i64> {
    let epoch = tx.one("select stop_epoch from organization where tenant_id = $1", args![tenant], |row| row.int(0))?;
    Ok(epoch.unwrap_or(0))
}

/// Raises the epoch from the one seen; false where another was faster.
pub fn raise_stop_epoch(tx: &mut dyn Tx, tenant: Uuid, seen: i64) -> Result<bool> {
    let changed = tx.execute(
        "update organization set stop_epoch = stop_epoch + 1 where tenant_id = $1 and stop_epoch = $2",
        args![tenant, seen],
    )?;
    Ok(changed == 1)
}

/// Small tenant-wide settings as stored, with the row's version.
pub fn organization_settings(tx: &mut dyn Tx, tenant: Uuid) -> Result<(String, i64)> {
    let row = tx.one("select settings, version from organization where tenant_id = $1", args![tenant], |row| {
        Ok((row.text(0)?, row.int(1)?))
    })?;
    Ok(row.unwrap_or_else(|| ("{}".into(), 0)))
}

/// Writes the settings back over the version seen; false where another was faster.
pub fn put_organization_settings(tx: &mut dyn Tx, tenant: Uuid, settings: &str, seen: i64) -> Result<bool> {
    let changed = tx.execute(
        "update organization set settings = $2, version = version + 1 where tenant_id = $1 and version = $3",
        args![tenant, settings, seen],
    )?;
    Ok(changed == 1)
}

/// Who else may approve, beside a requester and the person behind: enabled operators of an approving role
/// and living tokens that the command line made.
pub fn other_approvers(tx: &mut dyn Tx, tenant: Uuid, requester: Uuid, principal: Uuid, now: i64) -> Result<i64> {
    let people = tx.one(
        "select count(*) from operator
           join person on person.tenant_id = operator.tenant_id and person.id = operator.person_id
          where operator.tenant_id = $1 and operator.role in ('owner', 'administrator')
            and operator.person_id <> $2 and operator.person_id <> $3
            and person.account_enabled and person.deleted_at is null",
        args![tenant, requester, principal],
        |row| row.int(0),
    )?;
    let tokens = tx.one(
        "select count(*) from token
          where tenant_id = $1 and role in ('owner', 'administrator') and maker_kind = 'commandLine'
            and id <> $2 and (person_id is null or (person_id <> $2 and person_id <> $3))
            and revoked_at is null and (expires_at is null or expires_at > $4)",
        args![tenant, requester, principal, now],
        |row| row.int(0),
    )?;
    Ok(people.unwrap_or(0) + tokens.unwrap_or(0))
}
