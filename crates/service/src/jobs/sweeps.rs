//! Work that joins two subjects: what was marked dirty is computed and its devices are asked to
//! connect; commands whose time has passed end and their actions are told; pushes are tried again.

use std::sync::Arc;

use muster_storage::commands::{self, Ending};
use muster_storage::device_states;
use muster_storage::jobs::Job;
use serde::Deserialize;
use uuid::Uuid;

use crate::apple::push_all_soon;
use crate::desired::batch;
use crate::{Error, Result, Service, actions};

/// Dirty enrollments that one round reads at once.
const DIRTY_AT_ONCE: i64 = 500;
/// Enrollments computed in one transaction: short enough that a request does not wait behind it.
const COMPUTED_AT_ONCE: usize = 50;
/// Expired commands that end in one transaction.
const EXPIRED_AT_ONCE: i64 = 100;

#[derive(Deserialize)]
struct Rung {
    subject: Uuid,
}

impl Service {
    /// Computes what is dirty, and asks the devices that got something to connect, in the same
    /// transaction.
    pub(crate) async fn compute_dirty(&self, tenant: Uuid) -> Result<()> {
        let mut after = None;
        loop {
            let from = after;
            let dirty =
                self.store.read(tenant, move |tx| device_states::dirty(tx, tenant, from, DIRTY_AT_ONCE)).await?;
            for chunk in dirty.chunks(COMPUTED_AT_ONCE) {
                let now = self.clock.now();
                let (ids, documents, chunk) = (self.ids(now), Arc::clone(&self.prepared), chunk.to_vec());
                self.store
                    .write(tenant, move |tx| {
                        let mut ids = ids.clone();
                        let computed = batch::compute(tx, tenant, &chunk, &documents, &mut ids, now)?;
                        let given: Vec<Uuid> =
                            computed.iter().filter(|(_, queued)| *queued > 0).map(|(channel, _)| *channel).collect();
                        push_all_soon(tx, tenant, &given, &mut ids, now)?;
                        Ok::<(), Error>(())
                    })
                    .await?;
            }
            after = dirty.last().copied();
            if (dirty.len() as i64) < DIRTY_AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Ends the commands whose time has passed and tells the actions they carried out.
    pub(crate) async fn expire_commands(&self, tenant: Uuid, now: i64) -> Result<()> {
        loop {
            let ids = self.ids(now);
            let ended = self
                .store
                .write(tenant, move |tx| {
                    let mut ids = ids.clone();
                    let expired = commands::expire(tx, tenant, now, EXPIRED_AT_ONCE)?;
                    for command in expired.iter().filter(|command| command.origin == "action") {
                        actions::action_answered(tx, &mut ids, tenant, command, Ending::Expired, None, now)?;
                    }
                    Ok::<_, Error>(expired.len() as i64)
                })
                .await?;
            if ended < EXPIRED_AT_ONCE {
                return Ok(());
            }
        }
    }

    /// The enrollment's queries are due.
    pub(crate) async fn inventory_job(&self, job: Job) -> Result<()> {
        let Rung { subject } = super::payload(&job)?;
        self.inventory_due(job.tenant, subject).await
    }
}
