//! What a stranger presents (a certificate, a token, a session, a challenge) -> tenant and record.
//! Server-wide: the one table that is read before a tenant is known.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args};

/// Where a presented value leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The tenant.
    pub tenant: Uuid,
    /// The record.
    pub subject: Uuid,
    /// Nothing is found after this, unix ms.
    pub expires_at: Option<i64>,
}

/// Enters a hash. The same subject may be put again (its expiry is replaced); a hash that leads to
/// another subject is refused as [`Error::Constraint`].
pub fn put(
    tx: &mut dyn Tx,
    kind: &str,
    hash: &[u8],
    tenant: Uuid,
    subject: Uuid,
    expires_at: Option<i64>,
) -> Result<()> {
    let changed = tx.execute(
        "insert into lookup (kind, hash, tenant_id, subject_id, expires_at) values ($1, $2, $3, $4, $5)
         on conflict (kind, hash) do update set expires_at = excluded.expires_at
          where lookup.tenant_id = excluded.tenant_id and lookup.subject_id = excluded.subject_id",
        args![kind, hash, tenant, subject, expires_at],
    )?;
    if changed == 0 { Err(Error::Constraint("lookup_pkey".into())) } else { Ok(()) }
}

/// Where a hash leads; the caller looks at `expires_at`.
pub fn find(tx: &mut dyn Tx, kind: &str, hash: &[u8]) -> Result<Option<Lookup>> {
    tx.one(
        "select tenant_id, subject_id, expires_at from lookup where kind = $1 and hash = $2",
        args![kind, hash],
        |row: &dyn Row| Ok(Lookup { tenant: row.id(0)?, subject: row.id(1)?, expires_at: row.opt_int(2)? }),
    )
}

/// Removes a hash.
pub fn remove(tx: &mut dyn Tx, kind: &str, hash: &[u8]) -> Result<()> {
    tx.execute("delete from lookup where kind = $1 and hash = $2", args![kind, hash])?;
    Ok(())
}

/// Removes every hash of a record; answers how many.
pub fn remove_subject(tx: &mut dyn Tx, tenant: Uuid, kind: &str, subject: Uuid) -> Result<u64> {
    tx.execute(
        "delete from lookup where tenant_id = $1 and kind = $2 and subject_id = $3",
        args![tenant, kind, subject],
    )
}

/// Removes expired hashes, at most `limit`; answers how many.
pub fn remove_expired(tx: &mut dyn Tx, now: i64, limit: i64) -> Result<u64> {
    tx.execute(
        "delete from lookup where (kind, hash) in
           (select kind, hash from lookup where expires_at <= $1 order by expires_at limit $2)",
        args![now, limit],
    )
}
