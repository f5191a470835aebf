//! Enrollments: the management channels of a device, with their push target and state.
//! What a device is stands in `devices.rs`, its queue in `commands.rs`.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// States of a channel.
pub mod state {
    /// Authenticate came, TokenUpdate not yet.
    pub const PENDING: &str = "pending";
    /// Managed.
    pub const ENROLLED: &str = "enrolled";
    /// May only fetch and acknowledge the removal.
    pub const LEAVING: &str = "leaving";
    /// No longer managed.
    pub const LEFT: &str = "left";
}

/// Channel words.
pub mod channel {
    /// The device itself.
    pub const DEVICE: &str = "appleDevice";
    /// A managed user of it.
    pub const USER: &str = "appleUser";
}

/// One channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrollment {
    /// Id.
    pub id: Uuid,
    /// The device.
    pub device_id: Uuid,
    /// See [`channel`].
    pub channel: String,
    /// UDID or EnrollmentID, on a user channel with `:` and the user's part.
    pub protocol_id: String,
    /// Short name of the user of a user channel.
    pub user_short_name: Option<String>,
    /// See [`state`].
    pub state: String,
    /// Push topic.
    pub topic: Option<String>,
    /// Push token.
    pub push_token: Option<Vec<u8>>,
    /// PushMagic.
    pub push_magic: Option<String>,
    /// `unknown`, `reachable`, `unreachable`.
    pub push_state: String,
    /// When the push values last came, unix ms.
    pub push_changed_at: Option<i64>,
    /// JSON array: digests of push values that newer ones replaced.
    pub push_past: String,
    /// The device waits in Setup Assistant.
    pub awaiting_configuration: bool,
    /// Declarative management is on.
    pub declarative: bool,
    /// SHA-256 of the bearer of an account-driven enrollment.
    pub access_token_hash: Option<Vec<u8>>,
    /// TokenUpdates since Authenticate.
    pub token_updates: i64,
    /// Generation of the certificate that sent the last TokenUpdate.
    pub certificate_generation: i64,
    /// OS version at enrollment.
    pub os_version: Option<String>,
    /// Unix ms.
    pub enrolled_at: Option<i64>,
    /// Unix ms; written in batches.
    pub last_seen_at: Option<i64>,
    /// Unix ms.
    pub created_at: i64,
}

macro_rules! columns {
    () => {
        "id, device_id, channel, protocol_id, user_short_name, state, topic, push_token, push_magic, push_state, \
         push_changed_at, push_past, awaiting_configuration, declarative, access_token_hash, token_updates, \
         certificate_generation, os_version, enrolled_at, last_seen_at, created_at"
    };
}

fn map(row: &dyn Row) -> Result<Enrollment> {
    Ok(Enrollment {
        id: row.id(0)?,
        device_id: row.id(1)?,
        channel: row.text(2)?,
        protocol_id: row.text(3)?,
        user_short_name: row.opt_text(4)?,
        state: row.text(5)?,
        topic: row.opt_text(6)?,
        push_token: row.opt_bytes(7)?,
        push_magic: row.opt_text(8)?,
        push_state: row.text(9)?,
        push_changed_at: row.opt_int(10)?,
        push_past: row.text(11)?,
        awaiting_configuration: row.bool(12)?,
        declarative: row.bool(13)?,
        access_token_hash: row.opt_bytes(14)?,
        token_updates: row.int(15)?,
        certificate_generation: row.int(16)?,
        os_version: row.opt_text(17)?,
        enrolled_at: row.opt_int(18)?,
        last_seen_at: row.opt_int(19)?,
        created_at: row.int(20)?,
    })
}

/// The channel of that id.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Enrollment>> {
    tx.one(concat!("select ", columns!(), " from enrollment where tenant_id = $1 and id = $2"), args![tenant, id], map)
}

/// The channels of a device, its own first.
pub fn of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<Enrollment>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from enrollment where tenant_id = $1 and device_id = $2 order by channel, created_at, id"
        ),
        args![tenant, device],
        map,
    )
}

/// The device's own channel.
pub fn device_channel(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Option<Enrollment>> {
    Ok(of_device(tx, tenant, device)?.into_iter().find(|enrollment| enrollment.channel == channel::DEVICE))
}

/// The channel of a device with that protocol id.
pub fn by_protocol_id(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, protocol_id: &str) -> Result<Option<Enrollment>> {
    tx.one(
        concat!(
            "select ",
            columns!(),
            " from enrollment where tenant_id = $1 and device_id = $2 and protocol_id = $3 order by id desc limit 1"
        ),
        args![tenant, device, protocol_id],
        map,
    )
}

/// Writes a channel as it is; [`touch`] alone writes `last_seen_at` later.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, e: &Enrollment) -> Result<()> {
    tx.execute(
        "insert into enrollment (tenant_id, id, device_id, channel, protocol_id, user_short_name, state, topic, \
            push_token, push_magic, push_state, push_changed_at, push_past, awaiting_configuration, declarative, \
            access_token_hash, token_updates, certificate_generation, os_version, enrolled_at, last_seen_at, \
            created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
         on conflict (tenant_id, id) do update set \
            device_id = excluded.device_id, channel = excluded.channel, protocol_id = excluded.protocol_id, \
            user_short_name = excluded.user_short_name, state = excluded.state, topic = excluded.topic, \
            push_token = excluded.push_token, push_magic = excluded.push_magic, push_state = excluded.push_state, \
            push_changed_at = excluded.push_changed_at, push_past = excluded.push_past, \
            awaiting_configuration = excluded.awaiting_configuration, declarative = excluded.declarative, \
            access_token_hash = excluded.access_token_hash, token_updates = excluded.token_updates, \
            certificate_generation = excluded.certificate_generation, os_version = excluded.os_version, \
            enrolled_at = excluded.enrolled_at",
        args![
            tenant,
            e.id,
            e.device_id,
            &e.channel,
            &e.protocol_id,
            e.user_short_name.as_deref(),
            &e.state,
            e.topic.as_deref(),
            e.push_token.clone(),
            e.push_magic.as_deref(),
            &e.push_state,
            e.push_changed_at,
            &e.push_past,
            e.awaiting_configuration,
            e.declarative,
            e.access_token_hash.clone(),
            e.token_updates,
            e.certificate_generation,
            e.os_version.as_deref(),
            e.enrolled_at,
            e.last_seen_at,
            e.created_at
        ],
    )?;
    Ok(())
}

/// Changes the state of every channel of a device.
pub fn set_state(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, state: &str) -> Result<u64> {
    tx.execute("update enrollment set state = $3 where tenant_id = $1 and device_id = $2", args![tenant, device, state])
}

/// Removes the user channels of a device: it enrolled anew.
pub fn remove_users(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<u64> {
    tx.execute(
        "delete from enrollment where tenant_id = $1 and device_id = $2 and channel = 'appleUser'",
        args![tenant, device],
    )
}

/// Forgets the push values of a device's channels: it left.
pub fn forget_push(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<u64> {
    tx.execute(
        "update enrollment set push_token = null, push_magic = null, push_state = 'unknown', push_past = '[]', \
                               access_token_hash = null \
          where tenant_id = $1 and device_id = $2",
        args![tenant, device],
    )
}

/// Notes that declarative management is on.
pub fn set_declarative(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<()> {
    tx.execute("update enrollment set declarative = $3 where tenant_id = $1 and id = $2", args![tenant, id, true])?;
    Ok(())
}

/// Notes whether pushes arrive, unless the push values changed since `as_of`.
pub fn set_push_state(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, push_state: &str, as_of: i64) -> Result<bool> {
    let changed = tx.execute(
        "update enrollment set push_state = $3 \
          where tenant_id = $1 and id = $2 and push_state <> $3 and coalesce(push_changed_at, 0) <= $4",
        args![tenant, id, push_state, as_of],
    )?;
    Ok(changed > 0)
}

/// Writes when a channel was last heard; never moves back. The device's last sync follows.
pub fn touch(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, seen_at: i64) -> Result<()> {
    let changed = tx.execute(
        "update enrollment set last_seen_at = $3 \
          where tenant_id = $1 and id = $2 and coalesce(last_seen_at, 0) < $3",
        args![tenant, id, seen_at],
    )?;
    if changed > 0 {
        tx.execute(
            "update device set last_sync_at = $3 \
              where tenant_id = $1 and coalesce(last_sync_at, 0) < $3 \
                and id = (select device_id from enrollment where tenant_id = $1 and id = $2)",
            args![tenant, id, seen_at],
        )?;
    }
    Ok(())
}

/// Channels that can be pushed to and were heard last before `seen_before`, in order of id.
pub fn silent(tx: &mut dyn Tx, tenant: Uuid, seen_before: i64, after: Option<Uuid>, limit: i64) -> Result<Vec<Uuid>> {
    tx.all(
        "select id from enrollment \
          where tenant_id = $1 and id > $2 and state in ('enrolled', 'leaving') and push_token is not null \
            and push_state <> 'unreachable' and coalesce(last_seen_at, 0) < $3 \
          order by id limit $4",
        args![tenant, after.unwrap_or(Uuid::nil()), seen_before, limit],
        |row| row.id(0),
    )
}
