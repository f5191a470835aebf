//! A certificate as the identity of a channel: where a caller stands, in one statement, and the
//! tie between certificate, device and channel. Issuing is in `certificates.rs`.

use uuid::Uuid;

use crate::{Result, Tx, TxExt, args, subjects::Traits};

/// Everything a check-in is decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The certificate.
    pub certificate: Uuid,
    /// `issued`, `active`, `superseded`, `leaving`, `revoked`.
    pub certificate_state: String,
    /// Counts renewals.
    pub generation: i64,
    /// Unix ms.
    pub not_after: i64,
    /// The flow the certificate was issued to; none for a renewal.
    pub session: Option<Uuid>,
    /// The device it is bound to.
    pub device: Option<Uuid>,
    /// State of the device record.
    pub device_state: Option<String>,
    /// The device's own channel.
    pub device_protocol_id: Option<String>,
    /// The channel that speaks.
    pub channel: Option<ChannelStanding>,
    /// Odd means stopped.
    pub stop_epoch: i64,
}

/// The channel that speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStanding {
    /// The enrollment.
    pub enrollment: Uuid,
    /// Its state.
    pub state: String,
    /// `appleDevice`, `appleUser`.
    pub channel: String,
    /// Bearer of account-driven enrollments.
    pub access_token_hash: Option<Vec<u8>>,
    /// The desired state must be computed first.
    pub dirty: bool,
    /// A command waits that may go now.
    pub head: Option<Uuid>,
    /// What the channel takes.
    pub traits: Traits,
}

/// Where the holder of a certificate stands when it speaks as `protocol_id`: one statement over
/// certificate, channel, marks, queue head and stop epoch.
pub fn standing(
    tx: &mut dyn Tx,
    tenant: Uuid,
    certificate: Uuid,
    protocol_id: &str,
    now: i64,
) -> Result<Option<Standing>> {
    tx.one(
        "select c.state, c.generation, c.not_after, c.enrollment_session_id, c.device_id, d.state, own.protocol_id, \
            e.id, e.state, e.channel, e.access_token_hash, s.dirty_seq, s.computed_seq, o.stop_epoch, \
            d.platform, coalesce(d.os_version, e.os_version), d.is_supervised, d.enrollment_type, d.owner_type, \
            (select q.id from command q \
              where q.tenant_id = $1 and q.enrollment_id = e.id and q.state <> 'held' and q.not_before <= $4 \
                and (q.expires_at is null or q.expires_at > $4) \
                and (not q.destructive or o.stop_epoch % 2 = 0) \
              order by q.priority, q.created_at, q.id limit 1) \
           from certificate c \
           join organization o on o.tenant_id = $1 \
           left join device d on d.tenant_id = $1 and d.id = c.device_id \
           left join enrollment own on own.tenant_id = $1 and own.device_id = c.device_id \
                and own.channel = 'appleDevice' \
           left join enrollment e on e.tenant_id = $1 and e.device_id = c.device_id and e.protocol_id = $3 \
           left join device_state s on s.tenant_id = $1 and s.enrollment_id = e.id \
          where c.tenant_id = $1 and c.id = $2 and c.purpose = 'identity'",
        args![tenant, certificate, protocol_id, now],
        |row| {
            let channel = match row.opt_id(7)? {
                None => None,
                Some(enrollment) => Some(ChannelStanding {
                    enrollment,
                    state: row.text(8)?,
                    channel: row.text(9)?,
                    access_token_hash: row.opt_bytes(10)?,
                    dirty: row.opt_int(11)?.unwrap_or(1) > row.opt_int(12)?.unwrap_or(0),
                    head: row.opt_id(19)?,
                    traits: Traits {
                        user_channel: row.text(9)? == "appleUser",
                        platform: row.text(14)?,
                        os_version: row.opt_text(15)?,
                        is_supervised: row.bool(16)?,
                        enrollment_type: row.text(17)?,
                        owner_type: row.text(18)?,
                    },
                }),
            };
            Ok(Standing {
                certificate,
                certificate_state: row.text(0)?,
                generation: row.int(1)?,
                not_after: row.int(2)?,
                session: row.opt_id(3)?,
                device: row.opt_id(4)?,
                device_state: row.opt_text(5)?,
                device_protocol_id: row.opt_text(6)?,
                channel,
                stop_epoch: row.int(13)?,
            })
        },
    )
}

/// Binds a certificate to the device and channel that authenticated with it.
pub fn bind(tx: &mut dyn Tx, tenant: Uuid, certificate: Uuid, device: Uuid, enrollment: Uuid) -> Result<bool> {
    let changed = tx.execute(
        "update certificate set device_id = $3, enrollment_id = $4, state = 'active' \
          where tenant_id = $1 and id = $2 and state in ('issued', 'active') \
            and (device_id is null or device_id = $3)",
        args![tenant, certificate, device, enrollment],
    )?;
    if changed > 0 {
        note_end(tx, tenant, device, certificate)?;
    }
    Ok(changed > 0)
}

/// The device's record tells when its identity ends.
fn note_end(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, certificate: Uuid) -> Result<()> {
    tx.execute(
        "update device set certificate_expires_at = \
            (select not_after from certificate where tenant_id = $1 and id = $3) \
          where tenant_id = $1 and id = $2",
        args![tenant, device, certificate],
    )?;
    Ok(())
}

/// First use of a renewed identity: it becomes active and the others of the device are superseded.
pub fn activate(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, certificate: Uuid) -> Result<u64> {
    tx.execute(
        "update certificate set state = 'active' where tenant_id = $1 and id = $2 and state = 'issued'",
        args![tenant, certificate],
    )?;
    note_end(tx, tenant, device, certificate)?;
    supersede_others(tx, tenant, device, certificate)
}

/// Every other identity of a device is refused from now on.
pub fn supersede_others(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, keep: Uuid) -> Result<u64> {
    tx.execute(
        "update certificate set state = 'superseded' \
          where tenant_id = $1 and device_id = $2 and purpose = 'identity' and id <> $3 \
            and state in ('issued', 'active', 'leaving')",
        args![tenant, device, keep],
    )
}

/// The device's identities may from now on only fetch and acknowledge the removal (design, ruling 1).
pub fn limit(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<u64> {
    tx.execute(
        "update certificate set state = 'leaving' \
          where tenant_id = $1 and device_id = $2 and purpose = 'identity' and state in ('issued', 'active')",
        args![tenant, device],
    )
}
