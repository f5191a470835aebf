//! The audit log as a whole: building entries, sealing them into the chain, checkpoints,
//! verifying, erasing a person's fields, and what is kept for how long.
//!
//! What does not live here: the chain itself (`storage/src/audit.rs`); the callers who record.

mod entry;
mod retention;
mod verify;

use muster_storage::Error as StoreError;
use muster_storage::audit::{self, Checkpoint};
use muster_storage::jobs::Job;
use serde::Deserialize;
use uuid::Uuid;

pub use entry::{Act, kind_word, subject};
pub use verify::{Finding, Kept, Report};

use crate::{Result, Service, jobs, keys::Place};

/// Rows sealed in one transaction.
const SEAL_AT_ONCE: i64 = 200;
/// Rows erased in one transaction.
const ERASE_AT_ONCE: i64 = 500;

#[derive(Deserialize)]
struct Erase {
    person: Uuid,
}

impl Service {
    /// Appends what waits to the tenant's chain; answers how many rows.
    pub async fn seal_audit(&self, tenant: Uuid) -> Result<u64> {
        let mut sealed = 0;
        // Reading first: an idle tenant costs no write.
        while self.store.read(tenant, move |tx| audit::unsealed(tx, tenant, 1)).await? > 0 {
            match self.store.write(tenant, move |tx| audit::seal(tx, tenant, SEAL_AT_ONCE)).await {
                Ok(0) => break,
                Ok(rows) => sealed += rows,
                // Another node sealed the same rows first.
                Err(StoreError::Constraint(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sealed)
    }

    /// Signs the end of the chain, if it has grown since the last checkpoint.
    pub async fn checkpoint_audit(&self, tenant: Uuid, now: i64) -> Result<()> {
        self.seal_audit(tenant).await?;
        let (n, hash) = self.store.read(tenant, move |tx| audit::tail(tx, tenant)).await?;
        let known = self.store.read(tenant, move |tx| audit::checkpoints(tx, tenant, n - 1, 1)).await?;
        if n == 0 || !known.is_empty() {
            return Ok(());
        }
        let signature = self.sign_checkpoint(tenant, n, &hash).await?;
        // Outside the database too, where the log goes: cutting the tail and its checkpoint shows there.
        tracing::info!(%tenant, n, hash = hex::encode(&hash), "audit checkpoint");
        let checkpoint = Checkpoint { n, hash, signature, at: now };
        self.store.write(tenant, move |tx| audit::add_checkpoint(tx, tenant, &checkpoint)).await?;
        Ok(())
    }

    /// Erases a person's fields from the audit log; the chain stays whole.
    pub async fn erase_audit(&self, tenant: Uuid, person: Uuid) -> Result<u64> {
        let now = self.clock.now();
        let mut erased = 0;
        loop {
            let rows =
                self.store.write(tenant, move |tx| audit::erase_person(tx, tenant, person, now, ERASE_AT_ONCE)).await?;
            erased += rows;
            if rows < ERASE_AT_ONCE as u64 {
                return Ok(erased);
            }
        }
    }

    pub(crate) async fn erase_audit_job(&self, job: Job) -> Result<()> {
        let Erase { person } = jobs::payload(&job)?;
        self.erase_audit(job.tenant, person).await?;
        Ok(())
    }

    /// A checkpoint is signed by sealing its statement under the tenant's key: only who holds the
    /// key file can make one that opens.
    async fn sign_checkpoint(&self, tenant: Uuid, n: i64, hash: &[u8]) -> Result<Vec<u8>> {
        self.seal(tenant, signature_place(tenant), &statement(n, hash)).await
    }

    async fn checkpoint_is_signed(&self, tenant: Uuid, checkpoint: &Checkpoint) -> Result<bool> {
        let opened = self.unseal(tenant, signature_place(tenant), &checkpoint.signature).await;
        Ok(opened.is_ok_and(|plain| *plain.expose() == statement(checkpoint.n, &checkpoint.hash)))
    }
}

fn signature_place(tenant: Uuid) -> Place {
    Place::new("audit_checkpoint", "signature", tenant)
}

fn statement(n: i64, hash: &[u8]) -> Vec<u8> {
    [&n.to_be_bytes(), hash].concat()
}
