//! Enrollment sessions: one person enrolling one device. Ownership, kind and rights stand here,
//! never in a URL.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// States of a session.
pub mod state {
    /// Signed in; no profile fetched.
    pub const OPEN: &str = "open";
    /// The profile was fetched, perhaps more than once.
    pub const FETCHED: &str = "fetched";
    /// A device authenticated with it.
    pub const BOUND: &str = "bound";
    /// Over.
    pub const CLOSED: &str = "closed";
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnrollmentSession {
    /// Id.
    pub id: Uuid,
    /// Who enrolls.
    pub person_id: Uuid,
    /// `profile`, `byod`, `adde`.
    pub method: String,
    /// `company`, `personal`.
    pub owner_type: String,
    /// Graph's deviceEnrollmentType, by beta's word.
    pub enrollment_type: String,
    /// The appleUserInitiatedEnrollmentProfile that decided.
    pub profile_id: Option<Uuid>,
    /// Its name.
    pub profile_name: Option<String>,
    /// Category chosen.
    pub category_id: Option<Uuid>,
    /// `iOS`, `iPadOS`, `macOS`, `unknown`.
    pub platform: String,
    /// Managed Apple Account.
    pub managed_apple_account: Option<String>,
    /// SHA-256 of the access token.
    pub token_hash: Option<Vec<u8>>,
    /// The device's protocol id, bound at Authenticate.
    pub protocol_id: Option<String>,
    /// The device, bound at Authenticate.
    pub device_id: Option<Uuid>,
    /// See [`state`].
    pub state: String,
    /// JSON object.
    pub details: String,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms; binding must happen before.
    pub expires_at: i64,
}

macro_rules! columns {
    () => {
        "id, person_id, method, owner_type, enrollment_type, profile_id, profile_name, category_id, platform, \
         managed_apple_account, token_hash, protocol_id, device_id, state, details, created_at, expires_at"
    };
}

fn map(row: &dyn Row) -> Result<EnrollmentSession> {
    Ok(EnrollmentSession {
        id: row.id(0)?,
        person_id: row.id(1)?,
        method: row.text(2)?,
        owner_type: row.text(3)?,
        enrollment_type: row.text(4)?,
        profile_id: row.opt_id(5)?,
        profile_name: row.opt_text(6)?,
        category_id: row.opt_id(7)?,
        platform: row.text(8)?,
        managed_apple_account: row.opt_text(9)?,
        token_hash: row.opt_bytes(10)?,
        protocol_id: row.opt_text(11)?,
        device_id: row.opt_id(12)?,
        state: row.text(13)?,
        details: row.text(14)?,
        created_at: row.int(15)?,
        expires_at: row.int(16)?,
    })
}

/// The session of that id.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<EnrollmentSession>> {
    tx.one(
        concat!("select ", columns!(), " from enrollment_session where tenant_id = $1 and id = $2"),
        args![tenant, id],
        map,
    )
}

/// Adds a session.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, s: &EnrollmentSession) -> Result<()> {
    tx.execute(
        "insert into enrollment_session (tenant_id, id, person_id, method, owner_type, enrollment_type, profile_id, \
            profile_name, category_id, platform, managed_apple_account, token_hash, protocol_id, device_id, state, \
            details, created_at, expires_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        args![
            tenant,
            s.id,
            s.person_id,
            &s.method,
            &s.owner_type,
            &s.enrollment_type,
            s.profile_id,
            s.profile_name.as_deref(),
            s.category_id,
            &s.platform,
            s.managed_apple_account.as_deref(),
            s.token_hash.clone(),
            s.protocol_id.as_deref(),
            s.device_id,
            &s.state,
            &s.details,
            s.created_at,
            s.expires_at
        ],
    )?;
    Ok(())
}

/// Writes what was agreed anew: which way, whose device, by which profile. False where a device is
/// bound to the session, or it is closed.
pub fn agree(tx: &mut dyn Tx, tenant: Uuid, s: &EnrollmentSession) -> Result<bool> {
    let changed = tx.execute(
        "update enrollment_session
            set method = $3, owner_type = $4, enrollment_type = $5, profile_id = $6, profile_name = $7, platform = $8
          where tenant_id = $1 and id = $2 and state in ('open', 'fetched')",
        args![
            tenant,
            s.id,
            &s.method,
            &s.owner_type,
            &s.enrollment_type,
            s.profile_id,
            s.profile_name.as_deref(),
            &s.platform
        ],
    )?;
    Ok(changed > 0)
}

/// Notes that the profile was fetched, by a device of that platform.
pub fn fetched(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, platform: &str) -> Result<bool> {
    let changed = tx.execute(
        "update enrollment_session set state = 'fetched', platform = $3 \
          where tenant_id = $1 and id = $2 and state in ('open', 'fetched')",
        args![tenant, id, platform],
    )?;
    Ok(changed > 0)
}

/// Binds the session to a device; false where it is bound to another protocol id, or closed.
pub fn bind(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, protocol_id: &str, device: Uuid) -> Result<bool> {
    let changed = tx.execute(
        "update enrollment_session set state = 'bound', protocol_id = $3, device_id = $4 \
          where tenant_id = $1 and id = $2 and state <> 'closed' \
            and (protocol_id is null or protocol_id = $3)",
        args![tenant, id, protocol_id, device],
    )?;
    Ok(changed > 0)
}

/// The session that a device enrolled by last.
pub fn of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Option<EnrollmentSession>> {
    tx.one(
        concat!(
            "select ",
            columns!(),
            " from enrollment_session where tenant_id = $1 and device_id = $2 order by created_at desc, id desc limit 1"
        ),
        args![tenant, device],
        map,
    )
}

/// Closes the sessions that led to a device: it left.
pub fn close_of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<u64> {
    tx.execute(
        "update enrollment_session set state = 'closed' where tenant_id = $1 and device_id = $2",
        args![tenant, device],
    )
}

/// Removes sessions that ended without a device, and closed ones, older than `before`.
pub fn prune(tx: &mut dyn Tx, tenant: Uuid, before: i64) -> Result<u64> {
    tx.execute(
        "delete from enrollment_session where tenant_id = $1 and expires_at < $2 and state <> 'bound'",
        args![tenant, before],
    )
}
