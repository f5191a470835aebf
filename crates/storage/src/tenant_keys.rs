//! Data keys of a tenant, wrapped by a key of the key file.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// One data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantKey {
    /// Version, from 1; stands in every value sealed with it.
    pub version: i64,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
    /// Unix ms.
    pub created_at: i64,
}

fn map(row: &dyn Row) -> Result<TenantKey> {
    Ok(TenantKey { version: row.int(0)?, wrapped: row.bytes(1)?, created_at: row.int(2)? })
}

/// All data keys of a tenant, the oldest first.
pub fn all(tx: &mut dyn Tx, tenant: Uuid) -> Result<Vec<TenantKey>> {
    tx.all(
        "select version, wrapped, created_at from tenant_key where tenant_id = $1 order by version",
        args![tenant],
        map,
    )
}

/// Adds a data key; false where that version is there already.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, key: &TenantKey) -> Result<bool> {
    let changed = tx.execute(
        "insert into tenant_key (tenant_id, version, wrapped, created_at) values ($1, $2, $3, $4)
         on conflict (tenant_id, version) do nothing",
        args![tenant, key.version, &key.wrapped, key.created_at],
    )?;
    Ok(changed == 1)
}

/// Replaces the wrapped form if it is still `from`.
pub fn rewrap(tx: &mut dyn Tx, tenant: Uuid, version: i64, from: &[u8], to: &[u8]) -> Result<bool> {
    let changed = tx.execute(
        "update tenant_key set wrapped = $4 where tenant_id = $1 and version = $2 and wrapped = $3",
        args![tenant, version, from, to],
    )?;
    Ok(changed == 1)
}
