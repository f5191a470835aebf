//! Jobs: work that follows a change, enqueued in the change's own transaction, claimed by lease.
//!
//! A job may run more than once; its handler is idempotent. What each kind does lives in
//! `service/src/jobs`.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, Value, args, dialect::write_rows};

/// A job to enqueue.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    /// Id, drawn by the caller.
    pub id: Uuid,
    /// Tenant whose data it works on.
    pub tenant: Uuid,
    /// Which handler takes it.
    pub kind: &'a str,
    /// At most one job of a kind waits per key: a second one replaces its payload and takes the earlier time.
    pub coalesce_key: Option<&'a str>,
    /// JSON for the handler.
    pub payload: &'a str,
    /// Not before, unix ms.
    pub run_at: i64,
    /// Unix ms.
    pub now: i64,
}

/// A claimed or set-aside job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Id.
    pub id: Uuid,
    /// Tenant whose data it works on.
    pub tenant: Uuid,
    /// Which handler takes it.
    pub kind: String,
    /// Its coalescing key.
    pub coalesce_key: Option<String>,
    /// JSON for the handler.
    pub payload: String,
    /// When it was due, unix ms.
    pub run_at: i64,
    /// Runs, this one included.
    pub attempts: i64,
    /// What the last failed run said.
    pub last_error: Option<String>,
}

fn job(row: &dyn Row) -> Result<Job> {
    Ok(Job {
        id: row.id(0)?,
        tenant: row.id(1)?,
        kind: row.text(2)?,
        coalesce_key: row.opt_text(3)?,
        payload: row.text(4)?,
        run_at: row.int(5)?,
        attempts: row.int(6)?,
        last_error: row.opt_text(7)?,
    })
}

/// Enqueues a job, or folds it into the one that waits under the same key.
pub fn enqueue(tx: &mut dyn Tx, new: &NewJob<'_>) -> Result<()> {
    enqueue_all(tx, new.tenant, std::slice::from_ref(new))
}

/// Enqueues jobs of one tenant, each under a key of its own.
pub fn enqueue_all(tx: &mut dyn Tx, tenant: Uuid, new: &[NewJob<'_>]) -> Result<()> {
    let rows: Vec<Vec<Value>> = new
        .iter()
        .map(|new| args![new.id, new.kind, new.coalesce_key, new.payload, new.run_at, new.now].to_vec())
        .collect();
    write_rows(
        tx,
        tenant,
        "insert into job (tenant_id, id, kind, coalesce_key, payload, run_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant_id, kind, coalesce_key)
            where coalesce_key is not null and claim is null and set_aside_at is null
            do update set payload = excluded.payload,
                          run_at = case when excluded.run_at < job.run_at then excluded.run_at else job.run_at end",
        &rows,
    )
}

/// Jobs of a kind that wait for a later time run now: what held them up is gone.
pub fn hasten(tx: &mut dyn Tx, tenant: Uuid, kind: &str, now: i64) -> Result<u64> {
    tx.execute(
        "update job set run_at = $3
          where tenant_id = $1 and kind = $2 and run_at > $3 and claim is null and set_aside_at is null",
        args![tenant, kind, now],
    )
}

/// Claims up to `limit` due jobs for `lease` milliseconds; jobs whose claim ran out are due again.
/// `claim` names the lease: completion must present it.
pub fn claim(tx: &mut dyn Tx, claim: Uuid, now: i64, lease: i64, limit: i64) -> Result<Vec<Job>> {
    let mut claimed = tx.all(
        "update job
            set claim = $1, claimed_until = lease_clock($2) + $3, attempts = attempts + 1
          where id in (select id from job
                        where run_at <= $2 and set_aside_at is null
                          and (claim is null or claimed_until <= lease_clock($2))
                        order by run_at, id
                        limit $4 /* skip locked */)
         returning id, tenant_id, kind, coalesce_key, payload, run_at, attempts, last_error",
        args![claim, now, lease, limit],
        job,
    )?;
    claimed.sort_by_key(|job| (job.run_at, job.id));
    Ok(claimed)
}

/// True where [`claim`] would find something.
pub fn any_due(tx: &mut dyn Tx, now: i64) -> Result<bool> {
    let due = tx.one(
        "select 1 from job
          where run_at <= $1 and set_aside_at is null
            and (claim is null or claimed_until <= lease_clock($1)) limit 1",
        args![now],
        |row| row.int(0),
    )?;
    Ok(due.is_some())
}

/// The job is done: removes it. False if the claim was lost meanwhile.
pub fn finish(tx: &mut dyn Tx, id: Uuid, claim: Uuid) -> Result<bool> {
    Ok(tx.execute("delete from job where id = $1 and claim = $2", args![id, claim])? > 0)
}

/// The job failed: it waits until `run_at`. Where a newer one waits under the same key, that one
/// takes its place. False if the claim was lost meanwhile.
pub fn retry(tx: &mut dyn Tx, id: Uuid, claim: Uuid, run_at: i64, error: &str) -> Result<bool> {
    let replaced = tx.execute(
        "delete from job
          where id = $1 and claim = $2 and coalesce_key is not null
            and exists (select 1 from job as newer
                         where newer.tenant_id = job.tenant_id and newer.kind = job.kind
                           and newer.coalesce_key = job.coalesce_key
                           and newer.claim is null and newer.set_aside_at is null)",
        args![id, claim],
    )?;
    let waits = tx.execute(
        "update job set claim = null, claimed_until = null, run_at = $3, last_error = $4 where id = $1 and claim = $2",
        args![id, claim, run_at, error],
    )?;
    Ok(replaced + waits > 0)
}

/// The job is poisoned: it stays for a person to look at and is never claimed again.
pub fn set_aside(tx: &mut dyn Tx, id: Uuid, claim: Uuid, error: &str, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "update job set claim = null, claimed_until = null, set_aside_at = $4, last_error = $3
          where id = $1 and claim = $2",
        args![id, claim, error, now],
    )?;
    Ok(changed > 0)
}

/// Jobs of a tenant that were set aside, newest first.
pub fn set_aside_list(tx: &mut dyn Tx, tenant: Uuid, limit: i64) -> Result<Vec<Job>> {
    tx.all(
        "select id, tenant_id, kind, coalesce_key, payload, run_at, attempts, last_error from job
          where tenant_id = $1 and set_aside_at is not null order by set_aside_at desc, id limit $2",
        args![tenant, limit],
        job,
    )
}

/// How many jobs wait or run, and how many were set aside.
pub fn counts(tx: &mut dyn Tx) -> Result<(i64, i64)> {
    let counts =
        tx.one("select count(case when set_aside_at is null then 1 end), count(set_aside_at) from job", &[], |row| {
            Ok((row.int(0)?, row.int(1)?))
        })?;
    Ok(counts.unwrap_or_default())
}

/// When the next unclaimed job is due.
pub fn next_due(tx: &mut dyn Tx) -> Result<Option<i64>> {
    Ok(tx
        .one("select min(run_at) from job where claim is null and set_aside_at is null", &[], |row| row.opt_int(0))?
        .flatten())
}
