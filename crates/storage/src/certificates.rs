//! Certificates we issued or know: which device or person's device each belongs to, and its state.
//! The way from a fingerprint to a tenant stands in `lookups` under [`LOOKUP`]; who may speak with
//! a certificate in `device_identities`.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args, lookups};

/// Kind of the entries in `lookups`; the subject is the certificate's id.
pub const LOOKUP: &str = "certificate";

/// States of a certificate.
pub mod state {
    /// Issued, not seen in use yet.
    pub const ISSUED: &str = "issued";
    /// Seen in use.
    pub const ACTIVE: &str = "active";
    /// A newer one of the same device and purpose is in use.
    pub const SUPERSEDED: &str = "superseded";
    /// May only fetch and acknowledge the removal (design, ruling 1).
    pub const LEAVING: &str = "leaving";
    /// Revoked.
    pub const REVOKED: &str = "revoked";
}

/// Purposes of a certificate.
pub mod purpose {
    /// The device's identity towards us.
    pub const IDENTITY: &str = "identity";
    /// The device's access to resources; Wi-Fi and VPN profiles have purposes of their own.
    pub const ACCESS: &str = "access";
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Id.
    pub id: Uuid,
    /// SHA-256 of the DER.
    pub fingerprint: Vec<u8>,
    /// Content octets of the serial number.
    pub serial: Vec<u8>,
    /// Which authority: `device`, `access`, `external`.
    pub issuer: String,
    /// See [`purpose`].
    pub purpose: String,
    /// Known from Authenticate on.
    pub device_id: Option<Uuid>,
    /// Known from Authenticate on.
    pub enrollment_id: Option<Uuid>,
    /// The flow it was issued to.
    pub enrollment_session_id: Option<Uuid>,
    /// The certificate profile, if one asked for it.
    pub document_id: Option<Uuid>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub public_key_hash: Vec<u8>,
    /// See [`state`].
    pub state: String,
    /// Rises with every renewal.
    pub generation: i64,
    /// Unix ms.
    pub not_before: i64,
    /// Unix ms.
    pub not_after: i64,
    /// Unix ms.
    pub revoked_at: Option<i64>,
    /// Word of the reason.
    pub revocation_reason: Option<String>,
    /// DER.
    pub der: Vec<u8>,
    /// Unix ms.
    pub created_at: i64,
}

macro_rules! columns {
    () => {
        "id, fingerprint, serial, issuer, purpose, device_id, enrollment_id, enrollment_session_id, document_id, \
         public_key_hash, state, generation, not_before, not_after, revoked_at, revocation_reason, der, created_at"
    };
}

fn map(row: &dyn Row) -> Result<Certificate> {
    Ok(Certificate {
        id: row.id(0)?,
        fingerprint: row.bytes(1)?,
        serial: row.bytes(2)?,
        issuer: row.text(3)?,
        purpose: row.text(4)?,
        device_id: row.opt_id(5)?,
        enrollment_id: row.opt_id(6)?,
        enrollment_session_id: row.opt_id(7)?,
        document_id: row.opt_id(8)?,
        public_key_hash: row.bytes(9)?,
        state: row.text(10)?,
        generation: row.int(11)?,
        not_before: row.int(12)?,
        not_after: row.int(13)?,
        revoked_at: row.opt_int(14)?,
        revocation_reason: row.opt_text(15)?,
        der: row.bytes(16)?,
        created_at: row.int(17)?,
    })
}

/// Adds a certificate and the way to it from its fingerprint.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, c: &Certificate) -> Result<()> {
    tx.execute(
        concat!(
            "insert into certificate (",
            columns!(),
            ", tenant_id) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
        ),
        args![
            c.id,
            &c.fingerprint,
            &c.serial,
            &c.issuer,
            &c.purpose,
            c.device_id,
            c.enrollment_id,
            c.enrollment_session_id,
            c.document_id,
            &c.public_key_hash,
            &c.state,
            c.generation,
            c.not_before,
            c.not_after,
            c.revoked_at,
            c.revocation_reason.as_deref(),
            &c.der,
            c.created_at,
            tenant
        ],
    )?;
    lookups::put(tx, LOOKUP, &c.fingerprint, tenant, c.id, None)
}

/// One certificate.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Certificate>> {
    tx.one(concat!("select ", columns!(), " from certificate where tenant_id = $1 and id = $2"), args![tenant, id], map)
}

/// The certificate with this SHA-256 of its DER.
pub fn by_fingerprint(tx: &mut dyn Tx, tenant: Uuid, fingerprint: &[u8]) -> Result<Option<Certificate>> {
    tx.one(
        concat!("select ", columns!(), " from certificate where tenant_id = $1 and fingerprint = $2"),
        args![tenant, fingerprint],
        map,
    )
}

/// Every certificate for one public key.
pub fn by_public_key(tx: &mut dyn Tx, tenant: Uuid, public_key_hash: &[u8]) -> Result<Vec<Certificate>> {
    tx.all(
        concat!("select ", columns!(), " from certificate where tenant_id = $1 and public_key_hash = $2 order by id"),
        args![tenant, public_key_hash],
        map,
    )
}

/// Certificates of a device, the newest first.
pub fn of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<Certificate>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from certificate where tenant_id = $1 and device_id = $2 order by generation desc, created_at desc, id desc"
        ),
        args![tenant, device],
        map,
    )
}

/// Revokes one certificate; false where it was revoked before.
pub fn revoke(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, reason: &str, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "update certificate set state = 'revoked', revoked_at = $3, revocation_reason = $4
          where tenant_id = $1 and id = $2 and state <> 'revoked'",
        args![tenant, id, now, reason],
    )?;
    Ok(changed == 1)
}

/// What of a device is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fall {
    /// Access, Wi-Fi and VPN: everything but its identity.
    Access,
    /// Its identity too.
    All,
}

/// Revokes the certificates of a device; answers how many were not revoked before.
pub fn revoke_of_device(
    tx: &mut dyn Tx,
    tenant: Uuid,
    device: Uuid,
    what: Fall,
    reason: &str,
    now: i64,
) -> Result<u64> {
    tx.execute(
        "update certificate set state = 'revoked', revoked_at = $4, revocation_reason = $5
          where tenant_id = $1 and device_id = $2 and state <> 'revoked' and (purpose <> 'identity' or $3)",
        args![tenant, device, what == Fall::All, now, reason],
    )
}

/// Revoked certificates of one authority that would still be valid, in keyset chunks; each is
/// (id, serial, when, reason).
pub fn revoked_after(
    tx: &mut dyn Tx,
    tenant: Uuid,
    issuer: &str,
    now: i64,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<(Uuid, Vec<u8>, i64, String)>> {
    tx.all(
        "select id, serial, revoked_at, revocation_reason from certificate
          where tenant_id = $1 and issuer = $2 and revoked_at is not null and not_after > $3 and id > $4
          order by id limit $5",
        args![tenant, issuer, now, after.unwrap_or(Uuid::nil()), limit],
        |row| Ok((row.id(0)?, row.bytes(1)?, row.int(2)?, row.opt_text(3)?.unwrap_or_default())),
    )
}

/// Good certificates of one purpose that end before `until`, in keyset chunks.
pub fn expiring(
    tx: &mut dyn Tx,
    tenant: Uuid,
    purpose: &str,
    until: i64,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Certificate>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from certificate where tenant_id = $1 and purpose = $2 and state = 'active' and not_after < $3
               and id > $4 order by id limit $5"
        ),
        args![tenant, purpose, until, after.unwrap_or(Uuid::nil()), limit],
        map,
    )
}
