//! One-time SCEP challenges: kept as hashes, bound to one enrollment session or command.
//! The way from a presented challenge to its tenant stands in `lookups` under [`LOOKUP`].

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args, lookups};

/// Kind of the entries in `lookups`; the subject is the challenge's id.
pub const LOOKUP: &str = "challenge";

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ScepChallenge {
    /// Id.
    pub id: Uuid,
    /// SHA-256 of the challenge.
    pub hash: Vec<u8>,
    /// Purpose of the certificate: `identity`, `access`, ...
    pub purpose: String,
    /// The enrollment it belongs to.
    pub enrollment_session_id: Option<Uuid>,
    /// The device it belongs to, where known.
    pub device_id: Option<Uuid>,
    /// Its channel.
    pub enrollment_id: Option<Uuid>,
    /// The certificate profile, if one asks for it.
    pub document_id: Option<Uuid>,
    /// The command it travels in.
    pub command_id: Option<Uuid>,
    /// JSON: subject, alternative names, usages, validity that we decided.
    pub subject: String,
    /// `open`, `used`, `void`.
    pub state: String,
    /// transactionID of the request that used it.
    pub transaction_id: Option<String>,
    /// Key of the request that used it.
    pub public_key_hash: Option<Vec<u8>>,
    /// What was issued.
    pub certificate_id: Option<Uuid>,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub expires_at: i64,
    /// Unix ms.
    pub used_at: Option<i64>,
}

/// Adds an open challenge and the way to it; the way ends at `found_until`. Open challenges of the
/// same command are void from now on, and so are those of the same session for the same purpose:
/// handing out again leaves one that works.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, c: &ScepChallenge, found_until: i64) -> Result<()> {
    tx.execute(
        "update scep_challenge set state = 'void'
          where tenant_id = $1 and state = 'open'
            and (command_id = $2 or (enrollment_session_id = $3 and purpose = $4 and document_id is not distinct from $5))",
        args![tenant, c.command_id, c.enrollment_session_id, &c.purpose, c.document_id],
    )?;
    tx.execute(
        "insert into scep_challenge (tenant_id, id, hash, purpose, enrollment_session_id, device_id, enrollment_id,
            document_id, command_id, subject, state, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11, $12)",
        args![
            tenant,
            c.id,
            &c.hash,
            &c.purpose,
            c.enrollment_session_id,
            c.device_id,
            c.enrollment_id,
            c.document_id,
            c.command_id,
            &c.subject,
            c.created_at,
            c.expires_at
        ],
    )?;
    lookups::put(tx, LOOKUP, &c.hash, tenant, c.id, Some(found_until))
}

/// One challenge.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<ScepChallenge>> {
    tx.one(
        "select id, hash, purpose, enrollment_session_id, device_id, enrollment_id, document_id, command_id, subject,
                state, transaction_id, public_key_hash, certificate_id, created_at, expires_at, used_at
           from scep_challenge where tenant_id = $1 and id = $2",
        args![tenant, id],
        |row: &dyn Row| {
            Ok(ScepChallenge {
                id: row.id(0)?,
                hash: row.bytes(1)?,
                purpose: row.text(2)?,
                enrollment_session_id: row.opt_id(3)?,
                device_id: row.opt_id(4)?,
                enrollment_id: row.opt_id(5)?,
                document_id: row.opt_id(6)?,
                command_id: row.opt_id(7)?,
                subject: row.text(8)?,
                state: row.text(9)?,
                transaction_id: row.opt_text(10)?,
                public_key_hash: row.opt_bytes(11)?,
                certificate_id: row.opt_id(12)?,
                created_at: row.int(13)?,
                expires_at: row.int(14)?,
                used_at: row.opt_int(15)?,
            })
        },
    )
}

/// Uses an open challenge, once: false where it is used, void or expired.
pub fn spend(
    tx: &mut dyn Tx,
    tenant: Uuid,
    id: Uuid,
    transaction_id: &str,
    public_key_hash: &[u8],
    certificate: Uuid,
    now: i64,
) -> Result<bool> {
    let changed = tx.execute(
        "update scep_challenge
            set state = 'used', transaction_id = $3, public_key_hash = $4, certificate_id = $5, used_at = $6
          where tenant_id = $1 and id = $2 and state = 'open' and expires_at > $6",
        args![tenant, id, transaction_id, public_key_hash, certificate, now],
    )?;
    Ok(changed == 1)
}

/// How many challenges of a command are still good: one at most.
pub fn open_of_command(tx: &mut dyn Tx, tenant: Uuid, command: Uuid) -> Result<i64> {
    let open = tx.one(
        "select count(*) from scep_challenge where tenant_id = $1 and command_id = $2 and state = 'open'",
        args![tenant, command],
        |row| row.int(0),
    )?;
    Ok(open.unwrap_or(0))
}

/// Removes challenges that ended before `before`; answers how many.
pub fn prune(tx: &mut dyn Tx, tenant: Uuid, before: i64, limit: i64) -> Result<u64> {
    tx.execute(
        "delete from scep_challenge where tenant_id = $1 and id in
           (select id from scep_challenge where tenant_id = $1 and expires_at < $2 order by id limit $3)",
        args![tenant, before, limit],
    )
}
