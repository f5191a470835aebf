//! Apple's push certificate, one a tenant.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// A tenant's push certificate, perhaps only a pending request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushCertificate {
    /// The topic; none until a certificate came.
    pub topic: Option<String>,
    /// PEM, leaf first.
    pub certificate: Option<String>,
    /// Sealed PKCS#8.
    pub private_key: Option<Vec<u8>>,
    /// Hex.
    pub serial: Option<String>,
    /// Unix ms.
    pub not_after: Option<i64>,
    /// The Apple Account used at Apple's portal.
    pub apple_identifier: Option<String>,
    /// Unix ms.
    pub uploaded_at: Option<i64>,
    /// DER of a request that was handed out.
    pub pending_csr: Option<Vec<u8>>,
    /// Its sealed key.
    pub pending_key: Option<Vec<u8>>,
    /// Unix ms.
    pub modified_at: i64,
}

/// The tenant's push certificate.
pub fn by_tenant(tx: &mut dyn Tx, tenant: Uuid) -> Result<Option<PushCertificate>> {
    tx.one(
        "select topic, certificate, private_key, serial, not_after, apple_identifier, uploaded_at, pending_csr, \
                pending_key, modified_at \
           from push_certificate where tenant_id = $1",
        args![tenant],
        |row: &dyn Row| {
            Ok(PushCertificate {
                topic: row.opt_text(0)?,
                certificate: row.opt_text(1)?,
                private_key: row.opt_bytes(2)?,
                serial: row.opt_text(3)?,
                not_after: row.opt_int(4)?,
                apple_identifier: row.opt_text(5)?,
                uploaded_at: row.opt_int(6)?,
                pending_csr: row.opt_bytes(7)?,
                pending_key: row.opt_bytes(8)?,
                modified_at: row.int(9)?,
            })
        },
    )
}

/// Writes it as it is.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, p: &PushCertificate) -> Result<()> {
    tx.execute(
        "insert into push_certificate (tenant_id, topic, certificate, private_key, serial, not_after, \
            apple_identifier, uploaded_at, pending_csr, pending_key, modified_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (tenant_id) do update set \
            topic = excluded.topic, certificate = excluded.certificate, private_key = excluded.private_key, \
            serial = excluded.serial, not_after = excluded.not_after, apple_identifier = excluded.apple_identifier, \
            uploaded_at = excluded.uploaded_at, pending_csr = excluded.pending_csr, \
            pending_key = excluded.pending_key, modified_at = excluded.modified_at",
        args![
            tenant,
            p.topic.as_deref(),
            p.certificate.as_deref(),
            p.private_key.clone(),
            p.serial.as_deref(),
            p.not_after,
            p.apple_identifier.as_deref(),
            p.uploaded_at,
            p.pending_csr.clone(),
            p.pending_key.clone(),
            p.modified_at
        ],
    )?;
    Ok(())
}
