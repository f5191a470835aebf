//! Sealed secret values, addressed by what they belong to.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// One sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Id: the row that the seal names.
    pub id: Uuid,
    /// `device`, `enrollment`, `document`, `organization`, `user`.
    pub owner_kind: String,
    /// The owner.
    pub owner_id: Uuid,
    /// `unlockToken`, `bootstrapToken`, `fileVaultKey`, `lockPin`, `pushKey`, ...
    pub name: String,
    /// The sealed value.
    pub sealed: Vec<u8>,
    /// Unix ms.
    pub created_at: i64,
}

fn map(row: &dyn Row) -> Result<StoredSecret> {
    Ok(StoredSecret {
        id: row.id(0)?,
        owner_kind: row.text(1)?,
        owner_id: row.id(2)?,
        name: row.text(3)?,
        sealed: row.bytes(4)?,
        created_at: row.int(5)?,
    })
}

/// Adds a value beside the owner's earlier ones of that name.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, secret: &StoredSecret) -> Result<()> {
    tx.execute(
        "insert into secret (tenant_id, id, owner_kind, owner_id, name, sealed, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        args![tenant, secret.id, &secret.owner_kind, secret.owner_id, &secret.name, &secret.sealed, secret.created_at],
    )?;
    Ok(())
}

/// Adds a value and removes the owner's earlier ones of that name.
pub fn replace(tx: &mut dyn Tx, tenant: Uuid, secret: &StoredSecret) -> Result<()> {
    remove(tx, tenant, &secret.owner_kind, secret.owner_id, &secret.name)?;
    insert(tx, tenant, secret)
}

/// One value.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<StoredSecret>> {
    tx.one(
        "select id, owner_kind, owner_id, name, sealed, created_at from secret where tenant_id = $1 and id = $2",
        args![tenant, id],
        map,
    )
}

/// The newest value of that name.
pub fn newest(
    tx: &mut dyn Tx,
    tenant: Uuid,
    owner_kind: &str,
    owner: Uuid,
    name: &str,
) -> Result<Option<StoredSecret>> {
    tx.one(
        "select id, owner_kind, owner_id, name, sealed, created_at from secret
          where tenant_id = $1 and owner_kind = $2 and owner_id = $3 and name = $4
          order by created_at desc, id desc limit 1",
        args![tenant, owner_kind, owner, name],
        map,
    )
}

/// Removes the values of that name; answers how many.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, owner_kind: &str, owner: Uuid, name: &str) -> Result<u64> {
    tx.execute(
        "delete from secret where tenant_id = $1 and owner_kind = $2 and owner_id = $3 and name = $4",
        args![tenant, owner_kind, owner, name],
    )
}

/// Removes everything an owner has; answers how many.
pub fn remove_all(tx: &mut dyn Tx, tenant: Uuid, owner_kind: &str, owner: Uuid) -> Result<u64> {
    tx.execute(
        "delete from secret where tenant_id = $1 and owner_kind = $2 and owner_id = $3",
        args![tenant, owner_kind, owner],
    )
}

/// Removes one value.
pub fn remove_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<bool> {
    Ok(tx.execute("delete from secret where tenant_id = $1 and id = $2", args![tenant, id])? == 1)
}
