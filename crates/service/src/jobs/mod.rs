//! Work outside requests: jobs that follow a change, timers, and what happens periodically.
//!
//! [`table`] says which code takes which kind; [`runner`] claims and runs. A handler may run more
//! than once for one job and may be cut off at any point: it is idempotent, reads what is true now,
//! and does its effect in one transaction. What does not live here: the handlers, which stand with
//! their subject.

mod runner;
mod sweeps;
pub mod table;

use muster_storage::jobs::{self, Job, NewJob};
use muster_storage::{Result as StoreResult, Tx};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{Error, Result};

/// Reads a job's payload; what cannot be read is our fault and ends with the job set aside.
pub fn payload<T: DeserializeOwned>(job: &Job) -> Result<T> {
    serde_json::from_str(&job.payload)
        .map_err(|error| Error::internal(format!("payload of a {} job: {error}", job.kind)))
}

/// Enqueues a job to run now, folded into one that waits under the same key.
pub fn enqueue_now(
    tx: &mut dyn Tx,
    tenant: Uuid,
    id: Uuid,
    kind: &str,
    coalesce_key: Option<&str>,
    payload: &serde_json::Value,
    now: i64,
) -> StoreResult<()> {
    let payload = payload.to_string();
    jobs::enqueue(tx, &NewJob { id, tenant, kind, coalesce_key, payload: &payload, run_at: now, now })
}
