//! Desired and reported state of an enrollment, as two hashes, and the mark that the desired one
//! must be computed again.
//!
//! Everything that can change a desired state ends in one of the marks here. A computation reads
//! `dirty_seq` and stores it as `computed_seq`, so a change during it stays dirty.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// State of one enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// The enrollment.
    pub enrollment: Uuid,
    /// Rises with every mark.
    pub dirty_seq: i64,
    /// The mark that the desired state was computed for.
    pub computed_seq: i64,
    /// Over (item, version) of what it should have.
    pub desired_hash: Option<Vec<u8>>,
    /// Over (item, version) of what it said it has, settled failures included.
    pub reported_hash: Option<Vec<u8>>,
    /// DeclarationsToken last made for it.
    pub declarations_token: Option<String>,
    /// Unix ms.
    pub computed_at: Option<i64>,
}

impl DeviceState {
    /// True where something changed since the last computation.
    pub fn is_dirty(&self) -> bool {
        self.dirty_seq > self.computed_seq
    }
}

fn state(row: &dyn Row) -> Result<DeviceState> {
    Ok(DeviceState {
        enrollment: row.id(0)?,
        dirty_seq: row.int(1)?,
        computed_seq: row.int(2)?,
        desired_hash: row.opt_bytes(3)?,
        reported_hash: row.opt_bytes(4)?,
        declarations_token: row.opt_text(5)?,
        computed_at: row.opt_int(6)?,
    })
}

/// The state of an enrollment.
pub fn by_enrollment(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<Option<DeviceState>> {
    tx.one(
        "select enrollment_id, dirty_seq, computed_seq, desired_hash, reported_hash, declarations_token, computed_at
           from device_state where tenant_id = $1 and enrollment_id = $2",
        args![tenant, enrollment],
        state,
    )
}

/// The state of an enrollment, locked until the transaction ends: whoever computes takes this first,
/// so that two computations of one enrollment follow one another.
pub fn lock(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<Option<DeviceState>> {
    tx.one(
        "select enrollment_id, dirty_seq, computed_seq, desired_hash, reported_hash, declarations_token, computed_at
           from device_state where tenant_id = $1 and enrollment_id = $2 /* for update */",
        args![tenant, enrollment],
        state,
    )
}

/// Marks one enrollment, making its row where there is none.
pub fn mark_dirty(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<()> {
    tx.execute(
        "insert into device_state (tenant_id, enrollment_id) values ($1, $2)
         on conflict (tenant_id, enrollment_id) do update set dirty_seq = device_state.dirty_seq + 1",
        args![tenant, enrollment],
    )?;
    Ok(())
}

/// Marks the enrollments of one device.
pub fn mark_device_dirty(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<()> {
    tx.execute(
        "insert into device_state (tenant_id, enrollment_id)
         select tenant_id, id from enrollment where tenant_id = $1 and device_id = $2
         on conflict (tenant_id, enrollment_id) do update set dirty_seq = device_state.dirty_seq + 1",
        args![tenant, device],
    )?;
    Ok(())
}

/// Marks the enrollments of the devices whose primary user is `person`.
pub fn mark_person_dirty(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<()> {
    tx.execute(
        "insert into device_state (tenant_id, enrollment_id)
         select enrollment.tenant_id, enrollment.id
           from device join enrollment on enrollment.tenant_id = device.tenant_id and enrollment.device_id = device.id
          where device.tenant_id = $1 and device.person_id = $2
         on conflict (tenant_id, enrollment_id) do update set dirty_seq = device_state.dirty_seq + 1",
        args![tenant, person],
    )?;
    Ok(())
}

/// Marks the next `limit` enrollments of the tenant behind `after`; answers the last one, or none
/// when all are marked. A change that touches everybody walks them by a job, a chunk a transaction.
pub fn mark_chunk_dirty(tx: &mut dyn Tx, tenant: Uuid, after: Option<Uuid>, limit: i64) -> Result<Option<Uuid>> {
    let marked = tx.all(
        "update device_state set dirty_seq = dirty_seq + 1
          where tenant_id = $1 and enrollment_id in
            (select enrollment_id from device_state
              where tenant_id = $1 and enrollment_id > $2 order by enrollment_id limit $3)
         returning enrollment_id",
        args![tenant, after.unwrap_or(Uuid::nil()), limit],
        |row| row.id(0),
    )?;
    Ok(if (marked.len() as i64) < limit { None } else { marked.into_iter().max() })
}

/// Enrollments whose desired state must be computed again, behind `after`, in order of id.
pub fn dirty(tx: &mut dyn Tx, tenant: Uuid, after: Option<Uuid>, limit: i64) -> Result<Vec<Uuid>> {
    tx.all(
        "select enrollment_id from device_state
          where tenant_id = $1 and enrollment_id > $2 and dirty_seq > computed_seq order by enrollment_id limit $3",
        args![tenant, after.unwrap_or(Uuid::nil()), limit],
        |row| row.id(0),
    )
}

/// Stores a computed desired state for the mark `seq` that was read before it; a later mark stays.
pub fn set_desired(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    seq: i64,
    desired_hash: &[u8],
    declarations_token: Option<&str>,
    now: i64,
) -> Result<bool> {
    let changed = tx.execute(
        "update device_state
            set computed_seq = $3, desired_hash = $4, declarations_token = $5, computed_at = $6
          where tenant_id = $1 and enrollment_id = $2 and computed_seq <= $3",
        args![tenant, enrollment, seq, desired_hash, declarations_token, now],
    )?;
    Ok(changed > 0)
}

/// Stores the reported state.
pub fn set_reported(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, reported_hash: &[u8]) -> Result<bool> {
    let changed = tx.execute(
        "update device_state set reported_hash = $3 where tenant_id = $1 and enrollment_id = $2",
        args![tenant, enrollment, reported_hash],
    )?;
    Ok(changed > 0)
}

/// Forgets the state of an enrollment that has left.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<bool> {
    let removed =
        tx.execute("delete from device_state where tenant_id = $1 and enrollment_id = $2", args![tenant, enrollment])?;
    Ok(removed > 0)
}
