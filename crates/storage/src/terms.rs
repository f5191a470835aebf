//! Terms of use: which versions a person accepted. The text stands in the tenant's settings.

use uuid::Uuid;

use crate::{Result, Tx, TxExt, args};

/// True where the person accepted this version.
pub fn accepted(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, version: i64) -> Result<bool> {
    let found = tx.one(
        "select accepted_at from terms_acceptance where tenant_id = $1 and person_id = $2 and version = $3",
        args![tenant, person, version],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Notes an acceptance; the first one of a version stays. True where it is new.
pub fn accept(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, version: i64, now: i64) -> Result<bool> {
    let added = tx.execute(
        "insert into terms_acceptance (tenant_id, person_id, version, accepted_at) values ($1, $2, $3, $4)
         on conflict (tenant_id, person_id, version) do nothing",
        args![tenant, person, version, now],
    )?;
    Ok(added > 0)
}
