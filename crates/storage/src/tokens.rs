//! Bearer tokens: the row behind a `lookups` entry of kind `token`. Only a hash is kept.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// The kind under which tokens stand in `lookups`.
pub const LOOKUP: &str = "token";

/// One bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id, the principal's id of a command-line token.
    pub id: Uuid,
    /// For people to read.
    pub name: String,
    /// SHA-256 of the bearer value.
    pub hash: Vec<u8>,
    /// Name of its role.
    pub role: String,
    /// Graph scope words, a JSON array; none: the role alone decides.
    pub scopes: Option<String>,
    /// `commandLine` or `operator`.
    pub maker_kind: String,
    /// The person who made it through the API.
    pub maker_id: Option<Uuid>,
    /// The person it acts for.
    pub person_id: Option<Uuid>,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub expires_at: Option<i64>,
    /// Unix ms.
    pub revoked_at: Option<i64>,
}

const COLUMNS: &str =
    "id, name, hash, role, scopes, maker_kind, maker_id, person_id, created_at, expires_at, revoked_at";

fn token(row: &dyn Row) -> Result<Token> {
    Ok(Token {
        id: row.id(0)?,
        name: row.text(1)?,
        hash: row.bytes(2)?,
        role: row.text(3)?,
        scopes: row.opt_text(4)?,
        maker_kind: row.text(5)?,
        maker_id: row.opt_id(6)?,
        person_id: row.opt_id(7)?,
        created_at: row.int(8)?,
        expires_at: row.opt_int(9)?,
        revoked_at: row.opt_int(10)?,
    })
}

/// Adds a token.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, token: &Token) -> Result<()> {
    tx.execute(
        "insert into token (tenant_id, id, name, hash, role, scopes, maker_kind, maker_id, person_id,
                created_at, expires_at, revoked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        args![
            tenant,
            token.id,
            &token.name,
            token.hash.clone(),
            &token.role,
            token.scopes.clone(),
            &token.maker_kind,
            token.maker_id,
            token.person_id,
            token.created_at,
            token.expires_at,
            token.revoked_at,
        ],
    )?;
    Ok(())
}

/// One token.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Token>> {
    tx.one(&format!("select {COLUMNS} from token where tenant_id = $1 and id = $2"), args![tenant, id], token)
}

/// Every token, newest first.
pub fn all(tx: &mut dyn Tx, tenant: Uuid) -> Result<Vec<Token>> {
    tx.all(&format!("select {COLUMNS} from token where tenant_id = $1 order by id desc"), args![tenant], token)
}

/// Revokes a token; false when it is unknown or already revoked.
pub fn revoke(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "update token set revoked_at = $3 where tenant_id = $1 and id = $2 and revoked_at is null",
        args![tenant, id, now],
    )?;
    Ok(changed == 1)
}

/// Revokes every token made by a person or acting for them.
pub fn revoke_of_person(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, now: i64) -> Result<u64> {
    tx.execute(
        "update token set revoked_at = $3
          where tenant_id = $1 and (maker_id = $2 or person_id = $2) and revoked_at is null",
        args![tenant, person, now],
    )
}
