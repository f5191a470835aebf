//! Desired and reported state of an enrollment, as two hashes, and the mark that the desired one
//! must be computed again.
//!
//! Everything that can change a desired state ends in one of the marks here. A computation reads
//! `dirty_seq` and stores it as `computed_seq`, so a change during it stays dirty.

use uuid::Uuid;

use crate::{
    Result, Row, Tx, TxExt, Value, args,
    dialect::{many, write_rows},
};

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

/// The states of these enrollments, locked until the transaction ends: whoever computes takes them first,
/// so that two computations of one enrollment follow one another.
pub fn lock(tx: &mut dyn Tx, tenant: Uuid, enrollments: &[Uuid]) -> Result<Vec<DeviceState>> {
    let (sql, args) = many(
        "select enrollment_id, dirty_seq, computed_seq, desired_hash, reported_hash, declarations_token, computed_at
           from device_state where tenant_id = $1 and enrollment_id in ($2 /* more */)
          order by enrollment_id /* for update */",
        tenant,
        enrollments,
    );
    tx.all(&sql, &args, state)
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

/// Marks the enrollments of these devices.
pub fn mark_devices_dirty(tx: &mut dyn Tx, tenant: Uuid, devices: &[Uuid]) -> Result<()> {
    let (sql, args) = many(
        "insert into device_state (tenant_id, enrollment_id)
         select tenant_id, id from enrollment where tenant_id = $1 and device_id in ($2 /* more */) order by id
         on conflict (tenant_id, enrollment_id) do update set dirty_seq = device_state.dirty_seq + 1",
        tenant,
        devices,
    );
    tx.execute(&sql, &args)?;
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

/// What a computation of one enrollment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The enrollment.
    pub enrollment: Uuid,
    /// The mark that was read before; a later one stays.
    pub seq: i64,
    /// See [`DeviceState::desired_hash`].
    pub desired_hash: Vec<u8>,
    /// See [`DeviceState::reported_hash`].
    pub reported_hash: Vec<u8>,
    /// See [`DeviceState::declarations_token`].
    pub declarations_token: Option<String>,
    /// Unix ms.
    pub at: i64,
}

/// Stores computed states.
pub fn set_computed(tx: &mut dyn Tx, tenant: Uuid, computed: &[Computed]) -> Result<()> {
    let rows: Vec<Vec<Value>> = computed
        .iter()
        .map(|one| {
            args![
                one.enrollment,
                one.seq,
                one.seq,
                &one.desired_hash,
                &one.reported_hash,
                one.declarations_token.as_deref(),
                one.at
            ]
            .to_vec()
        })
        .collect();
    write_rows(
        tx,
        tenant,
        "insert into device_state (tenant_id, enrollment_id, dirty_seq, computed_seq, desired_hash, reported_hash,
                declarations_token, computed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant_id, enrollment_id) do update set
            computed_seq = excluded.computed_seq, desired_hash = excluded.desired_hash,
            reported_hash = excluded.reported_hash, declarations_token = excluded.declarations_token,
            computed_at = excluded.computed_at
          where device_state.computed_seq <= excluded.computed_seq",
        &rows,
    )
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
