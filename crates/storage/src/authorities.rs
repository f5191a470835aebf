//! Certificate authorities and server keys (server-wide). Private keys come in sealed.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// Purposes of an authority.
pub mod purpose {
    /// Signs the issuing authorities and the listeners' certificates.
    pub const ROOT: &str = "root";
    /// Issues device identities.
    pub const DEVICE: &str = "device";
    /// Issues access identities.
    pub const ACCESS: &str = "access";
    /// Certificate of the listeners.
    pub const LISTENER: &str = "listener";
    /// Signs configuration profiles.
    pub const SIGNER: &str = "signer";
}

/// One authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Id.
    pub id: Uuid,
    /// See [`purpose`].
    pub purpose: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// Sealed PKCS #8.
    pub private_key: Vec<u8>,
    /// Unix ms.
    pub created_at: i64,
}

/// The authorities in use, the oldest first.
pub fn current(tx: &mut dyn Tx) -> Result<Vec<Authority>> {
    tx.all(
        "select id, purpose, certificate, private_key, created_at from authority
          where retired_at is null order by created_at, id",
        args![],
        |row: &dyn Row| {
            Ok(Authority {
                id: row.id(0)?,
                purpose: row.text(1)?,
                certificate: row.bytes(2)?,
                private_key: row.bytes(3)?,
                created_at: row.int(4)?,
            })
        },
    )
}

/// Adds an authority.
pub fn insert(tx: &mut dyn Tx, authority: &Authority) -> Result<()> {
    tx.execute(
        "insert into authority (id, purpose, certificate, private_key, created_at) values ($1, $2, $3, $4, $5)",
        args![authority.id, &authority.purpose, &authority.certificate, &authority.private_key, authority.created_at],
    )?;
    Ok(())
}

/// Takes an authority out of use.
pub fn retire(tx: &mut dyn Tx, id: Uuid, now: i64) -> Result<()> {
    tx.execute("update authority set retired_at = $2 where id = $1 and retired_at is null", args![id, now])?;
    Ok(())
}

/// Sealed private keys of every authority, retired ones too.
pub fn private_keys(tx: &mut dyn Tx) -> Result<Vec<(Uuid, Vec<u8>)>> {
    tx.all("select id, private_key from authority order by id", args![], |row| Ok((row.id(0)?, row.bytes(1)?)))
}

/// Replaces the sealed private key if it is still `from`.
pub fn reseal(tx: &mut dyn Tx, id: Uuid, from: &[u8], to: &[u8]) -> Result<bool> {
    let changed =
        tx.execute("update authority set private_key = $3 where id = $1 and private_key = $2", args![id, from, to])?;
    Ok(changed == 1)
}
