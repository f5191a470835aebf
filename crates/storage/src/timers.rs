//! Timers: rows with a time; one a kind and subject. The schedule of `service/src/jobs` takes those due.

use uuid::Uuid;

use crate::{Result, Tx, TxExt, args};

/// A timer that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Which handler takes it.
    pub kind: String,
    /// What it is about.
    pub subject: Uuid,
    /// Unix ms.
    pub due_at: i64,
    /// JSON for the handler.
    pub payload: String,
}

/// Sets a timer, or moves the one that is there.
pub fn set(tx: &mut dyn Tx, tenant: Uuid, kind: &str, subject: Uuid, due_at: i64, payload: &str) -> Result<()> {
    tx.execute(
        "insert into timer (tenant_id, kind, subject_id, due_at, payload) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, kind, subject_id)
            do update set due_at = excluded.due_at, payload = excluded.payload",
        args![tenant, kind, subject, due_at, payload],
    )?;
    Ok(())
}

/// Clears a timer; false if there was none.
pub fn clear(tx: &mut dyn Tx, tenant: Uuid, kind: &str, subject: Uuid) -> Result<bool> {
    let cleared = tx.execute(
        "delete from timer where tenant_id = $1 and kind = $2 and subject_id = $3",
        args![tenant, kind, subject],
    )?;
    Ok(cleared > 0)
}

/// When a timer rings, if it is set.
pub fn due_at(tx: &mut dyn Tx, tenant: Uuid, kind: &str, subject: Uuid) -> Result<Option<i64>> {
    tx.one(
        "select due_at from timer where tenant_id = $1 and kind = $2 and subject_id = $3",
        args![tenant, kind, subject],
        |row| row.int(0),
    )
}

/// The timers of a tenant that are due, earliest first.
pub fn due(tx: &mut dyn Tx, tenant: Uuid, now: i64, limit: i64) -> Result<Vec<Timer>> {
    tx.all(
        "select kind, subject_id, due_at, payload from timer
          where tenant_id = $1 and due_at <= $2 order by due_at, kind, subject_id limit $3",
        args![tenant, now, limit],
        |row| Ok(Timer { kind: row.text(0)?, subject: row.id(1)?, due_at: row.int(2)?, payload: row.text(3)? }),
    )
}

/// Takes a due timer: false if it was taken, moved or cleared meanwhile.
pub fn take(tx: &mut dyn Tx, tenant: Uuid, timer: &Timer) -> Result<bool> {
    let taken = tx.execute(
        "delete from timer where tenant_id = $1 and kind = $2 and subject_id = $3 and due_at = $4",
        args![tenant, &timer.kind, timer.subject, timer.due_at],
    )?;
    Ok(taken > 0)
}
