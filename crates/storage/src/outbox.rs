//! The outbox: one stream of events a tenant, written in the transaction of their cause, read by
//! consumers that each keep a cursor. Delivery is at least once.

use uuid::Uuid;

use crate::{Result, Tx, TxExt, args};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Id, time-ordered.
    pub id: Uuid,
    /// What happened.
    pub kind: String,
    /// Kind of the subject.
    pub subject_kind: String,
    /// The subject.
    pub subject: Option<Uuid>,
    /// JSON.
    pub body: String,
    /// Unix ms.
    pub created_at: i64,
}

/// Writes an event.
#[expect(clippy::too_many_arguments, reason = "a row's columns, in the contract's order")]
pub fn emit(
    tx: &mut dyn Tx,
    tenant: Uuid,
    id: Uuid,
    kind: &str,
    subject_kind: &str,
    subject: Option<Uuid>,
    body: &str,
    now: i64,
) -> Result<()> {
    tx.execute(
        "insert into outbox (tenant_id, id, kind, subject_kind, subject_id, body, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        args![tenant, id, kind, subject_kind, subject, body, now],
    )?;
    Ok(())
}

/// Events behind `position`, oldest first. Transactions commit in another order than they draw
/// ids: a consumer with a cursor passes a `settled` time some seconds ago, by which every
/// transaction that drew an earlier id has ended.
pub fn after(tx: &mut dyn Tx, tenant: Uuid, position: Option<Uuid>, settled: i64, limit: i64) -> Result<Vec<Event>> {
    tx.all(
        "select id, kind, subject_kind, subject_id, body, created_at from outbox
          where tenant_id = $1 and id > $2 and created_at <= $3 order by id limit $4",
        args![tenant, position.unwrap_or(Uuid::nil()), settled, limit],
        |row| {
            Ok(Event {
                id: row.id(0)?,
                kind: row.text(1)?,
                subject_kind: row.text(2)?,
                subject: row.opt_id(3)?,
                body: row.text(4)?,
                created_at: row.int(5)?,
            })
        },
    )
}

/// How far a consumer has read.
pub fn cursor(tx: &mut dyn Tx, tenant: Uuid, consumer: &str) -> Result<Option<Uuid>> {
    tx.one(
        "select position from outbox_cursor where tenant_id = $1 and consumer = $2",
        args![tenant, consumer],
        |row| row.id(0),
    )
}

/// Moves a consumer's cursor forward, never back.
pub fn advance(tx: &mut dyn Tx, tenant: Uuid, consumer: &str, position: Uuid) -> Result<()> {
    tx.execute(
        "insert into outbox_cursor (tenant_id, consumer, position) values ($1, $2, $3)
         on conflict (tenant_id, consumer) do update set position = excluded.position
          where outbox_cursor.position < excluded.position",
        args![tenant, consumer, position],
    )?;
    Ok(())
}

/// Removes events older than `before`, at most `limit`; answers how many.
pub fn prune(tx: &mut dyn Tx, tenant: Uuid, before: i64, limit: i64) -> Result<u64> {
    tx.execute(
        "delete from outbox where tenant_id = $1 and id in
           (select id from outbox where tenant_id = $1 and created_at < $2 order by id limit $3)",
        args![tenant, before, limit],
    )
}
